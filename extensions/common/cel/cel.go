// Package cel compiles expressions of the Common Expression Language and evaluates
// them with Envoy's attributes of a stream: request.path, response.code and so on.
//
// What an expression costs is bounded by its length: there are no loops, and what
// would make strings longer is off until the configuration allows it.
package cel

import (
	"errors"
	"fmt"

	celgo "cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/env"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/ext"
	"cel.dev/cel-go/interpreter"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/nuncio-proxy/nuncio/api/format"
)

// maxRegex is the largest program of a regular expression.
const maxRegex = 100

// A Compiler compiles expressions. Main goroutine.
type Compiler struct {
	config *corev3.CelExpressionConfig
	node   *corev3.Node
	env    *celgo.Env // nil until the first expression: it costs milliseconds
	// constants compile regular expressions that are constants.
	constants []*interpreter.RegexOptimization
}

// New returns a compiler of expressions that may do what config allows; it may be nil.
// node is xds.node.
func New(config *corev3.CelExpressionConfig, node *corev3.Node) *Compiler {
	if node == nil {
		node = &corev3.Node{}
	}
	return &Compiler{config: config, node: node}
}

// An Expression is compiled. Its methods are called on any worker.
type Expression struct {
	program celgo.Program
	adapter types.Adapter
	node    *corev3.Node
}

// Compile compiles an expression. The error begins with Envoy's words; what says what
// the text is, for an error of its syntax: "expression", "filter expression".
func (c *Compiler) Compile(what, text string) (*Expression, error) {
	if c.env == nil {
		var err error
		if c.env, err = newEnv(c.config); err != nil {
			return nil, err
		}
		for _, f := range regexFunctions() {
			c.constants = append(c.constants, f.optimization())
		}
	}
	parsed, issues := c.env.Parse(text)
	if err := issues.Err(); err != nil {
		return nil, fmt.Errorf("Not able to parse %s: INVALID_ARGUMENT: %w", what, err)
	}
	if err := c.check(parsed.NativeRep()); err != nil {
		return nil, fmt.Errorf("failed to create an expression: %w", err)
	}
	program, err := c.env.Program(parsed, celgo.EvalOptions(celgo.OptOptimize), celgo.OptimizeRegex(c.constants...))
	if err != nil {
		return nil, fmt.Errorf("failed to create an expression: %w", err)
	}
	return &Expression{program, c.env.CELTypeAdapter(), c.node}, nil
}

// newEnv returns the language. It is not type checked, as in Envoy: a name that nobody
// knows is an error when it is evaluated.
func newEnv(config *corev3.CelExpressionConfig) (*celgo.Env, error) {
	std := env.NewLibrarySubset().AddExcludedFunctions(env.NewFunction("_+_"))
	if !config.GetEnableStringConversion() {
		std.AddExcludedFunctions(env.NewFunction("string"))
	}
	options := []celgo.EnvOption{
		celgo.StdLib(celgo.StdLibSubset(std)),
		addition(config.GetEnableStringConcat()),
		celgo.RegexProgramSizeLimit(maxRegex),
		celgo.Types(&corev3.Metadata{}, &corev3.Node{}),
	}
	for _, f := range regexFunctions() {
		options = append(options, f.declare())
	}
	if config.GetEnableStringFunctions() {
		options = append(options, ext.Strings())
	}
	return celgo.NewCustomEnv(options...)
}

// addition is the operator +. It never joins lists, and strings only if it may.
func addition(concat bool) celgo.EnvOption {
	add := func(a, b ref.Val) ref.Val {
		switch a.(type) {
		case traits.Lister:
			return types.NewErr("no such overload: list + list")
		case types.String, types.Bytes:
			if !concat {
				return types.NewErr("no such overload: string + string")
			}
		}
		if a, ok := a.(traits.Adder); ok {
			return a.Add(b)
		}
		return types.MaybeNoSuchOverloadErr(a)
	}
	return celgo.Function("_+_", celgo.Overload("add", []*celgo.Type{celgo.DynType, celgo.DynType}, celgo.DynType),
		celgo.SingletonBinaryBinding(add))
}

// check refuses loops, unknown functions, and attributes that this proxy does not know.
func (c *Compiler) check(a *ast.AST) error {
	functions := c.env.Functions()
	var errs []error
	ast.PreOrderVisit(a.Expr(), ast.NewExprVisitor(func(x ast.Expr) {
		switch x.Kind() {
		case ast.ComprehensionKind:
			errs = append(errs, errors.New("Comprehension support is disabled"))
		case ast.CallKind:
			call := x.AsCall()
			if name := call.FunctionName(); functions[name] == nil && functions[qualified(call)] == nil {
				errs = append(errs, fmt.Errorf("No overload found in reference resolve step for %s", name))
			} else if args := call.Args(); name == "_[_]" && args[1].Kind() == ast.LiteralKind {
				key, _ := args[1].AsLiteral().(types.String)
				errs = append(errs, checkAttribute(args[0], string(key)))
			}
		case ast.SelectKind:
			s := x.AsSelect()
			errs = append(errs, checkAttribute(s.Operand(), s.FieldName()))
		}
	}))
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// qualified returns the name of a function with that of its name space: re.capture(x)
// reads like a method of re.
func qualified(call ast.CallExpr) string {
	if call.IsMemberFunction() && call.Target().Kind() == ast.IdentKind {
		return call.Target().AsIdent() + "." + call.FunctionName()
	}
	return ""
}

// checkAttribute refuses operand.name if it is an attribute that Envoy has and this
// proxy has not.
func checkAttribute(operand ast.Expr, name string) error {
	if operand.Kind() != ast.IdentKind {
		return nil
	}
	switch full := operand.AsIdent() + "." + name; full {
	case "upstream.locality", "upstream.num_endpoints", "xds.upstream_host_locality_metadata", "xds.listener_direction":
		return fmt.Errorf("the attribute %s is not implemented", full)
	}
	return nil
}

// Eval evaluates the expression for e. It reports false if that is an error, as that
// an attribute has no value.
func (x *Expression) Eval(e *format.Entry) (ref.Val, bool) {
	value, _, err := x.program.Eval(&activation{e, x})
	return value, err == nil
}

// Match evaluates a condition. An error, or a value that is no bool, is false.
func (x *Expression) Match(e *format.Entry) bool {
	value, ok := x.Eval(e)
	return ok && value == types.True
}
