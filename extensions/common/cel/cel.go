// Package cel compiles expressions of the Common Expression Language and evaluates
// them with Envoy's attributes of a stream: request.path, response.code and so on.
//
// What an expression costs is bounded by its length: there are no loops, and what
// would make strings longer is off until the configuration allows it.
package cel

import (
	"errors"
	"fmt"
	"sync"

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
	language func() (*language, error)
	node     *corev3.Node
}

// New returns a compiler of expressions that may do what config allows; it may be nil.
// node is xds.node.
func New(config *corev3.CelExpressionConfig, node *corev3.Node) *Compiler {
	if node == nil {
		node = &corev3.Node{}
	}
	var o options
	for i, on := range []bool{config.GetEnableStringConversion(), config.GetEnableStringConcat(), config.GetEnableStringFunctions()} {
		if on {
			o |= 1 << i
		}
	}
	return &Compiler{languages[o], node}
}

// options are the fields of CelExpressionConfig, a bit each.
type options uint8

const (
	stringConversion options = 1 << iota
	stringConcat
	stringFunctions
	endOfOptions
)

// A language is what expressions are compiled with. It is immutable.
type language struct {
	env *celgo.Env
	// constants compile regular expressions that are constants.
	constants []*interpreter.RegexOptimization
}

// languages has that of each set of options. A language is made when it is first asked
// for, and shared: it costs a millisecond and 350 KB.
var languages = func() (all [endOfOptions]func() (*language, error)) {
	for o := range all {
		all[o] = sync.OnceValues(func() (*language, error) { return newLanguage(options(o)) })
	}
	return all
}()

// An Expression is compiled. Its methods are called on any worker.
type Expression struct {
	program celgo.Program
	adapter types.Adapter
	node    *corev3.Node // nil if xds.node has no value
}

// Compile compiles an expression. The error begins with Envoy's words; what says what
// the text is, for an error of its syntax: "expression", "filter expression".
func (c *Compiler) Compile(what, text string) (*Expression, error) {
	l, err := c.language()
	if err != nil {
		return nil, err
	}
	parsed, issues := l.env.Parse(text)
	if err := issues.Err(); err != nil {
		return nil, fmt.Errorf("Not able to parse %s: INVALID_ARGUMENT: %w", what, err)
	}
	return l.expression(parsed, c.node)
}

// expression makes what is evaluated; node may be nil.
func (l *language) expression(parsed *celgo.Ast, node *corev3.Node) (*Expression, error) {
	if err := l.check(parsed.NativeRep()); err != nil {
		return nil, fmt.Errorf("failed to create an expression: %w", err)
	}
	program, err := l.env.Program(parsed, celgo.EvalOptions(celgo.OptOptimize), celgo.OptimizeRegex(l.constants...))
	if err != nil {
		return nil, fmt.Errorf("failed to create an expression: %w", err)
	}
	return &Expression{program, l.env.CELTypeAdapter(), node}, nil
}

// newLanguage returns a language that is not type checked, as in Envoy: a name that
// nobody knows is an error when it is evaluated.
func newLanguage(o options) (*language, error) {
	std := env.NewLibrarySubset().AddExcludedFunctions(env.NewFunction("_+_"))
	if o&stringConversion == 0 {
		std.AddExcludedFunctions(env.NewFunction("string"))
	}
	parts := []celgo.EnvOption{
		celgo.StdLib(celgo.StdLibSubset(std)),
		addition(o&stringConcat != 0),
		celgo.RegexProgramSizeLimit(maxRegex),
		celgo.Types(&corev3.Metadata{}, &corev3.Node{}),
	}
	if o&stringFunctions != 0 {
		parts = append(parts, ext.Strings())
	}
	l := &language{}
	for _, f := range regexFunctions() {
		parts = append(parts, f.declare())
		l.constants = append(l.constants, f.optimization())
	}
	var err error
	l.env, err = celgo.NewCustomEnv(parts...)
	return l, err
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

// check refuses loops and unknown functions.
func (l *language) check(a *ast.AST) error {
	functions := l.env.Functions()
	var errs []error
	ast.PreOrderVisit(a.Expr(), ast.NewExprVisitor(func(x ast.Expr) {
		switch x.Kind() {
		case ast.ComprehensionKind:
			errs = append(errs, errors.New("Comprehension support is disabled"))
		case ast.CallKind:
			call := x.AsCall()
			if name := call.FunctionName(); functions[name] == nil && functions[qualified(call)] == nil {
				errs = append(errs, fmt.Errorf("No overload found in reference resolve step for %s", name))
			}
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

// Eval evaluates the expression for e. It reports false if that is an error, as that
// an attribute has no value.
func (x *Expression) Eval(e *format.Entry) (ref.Val, bool) {
	value, _, err := x.program.Eval(&activation{e: e, x: x})
	return value, err == nil
}

// Match evaluates a condition. An error, or a value that is no bool, is false.
func (x *Expression) Match(e *format.Entry) bool {
	value, ok := x.Eval(e)
	return ok && value == types.True
}

// MatchResponse is Match, and reports whether it looked for attributes of the response.
func (x *Expression) MatchResponse(e *format.Entry) (matched, response bool) {
	a := &activation{e: e, x: x}
	value, _, err := x.program.Eval(a)
	return err == nil && value == types.True, a.sawResponse
}
