package cel

import (
	"fmt"
	"regexp"
	"strconv"

	celgo "cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"
)

// A regexFunction is a function of a string and a regular expression, the second
// argument.
type regexFunction struct {
	name  string
	args  int
	whole bool // the expression must match all of the string
	// eval gets the string, and the arguments behind the expression.
	eval func(re *regexp.Regexp, s string, args []ref.Val) ref.Val
}

func regexFunctions() []regexFunction {
	return []regexFunction{
		{"re.extract", 3, false, extract},
		{"re.capture", 2, true, capture},
		{"re.captureN", 2, true, captureN},
	}
}

// extract is the first match, written as the third argument has it: \1 is a group.
func extract(re *regexp.Regexp, s string, args []ref.Val) ref.Val {
	rewrite, ok := args[0].(types.String)
	groups := re.FindStringSubmatch(s)
	if !ok || groups == nil {
		return types.NewErr("Unable to extract data for the given regex")
	}
	var out []byte
	for i := 0; i < len(rewrite); i++ {
		if rewrite[i] != '\\' {
			out = append(out, rewrite[i])
			continue
		}
		i++
		switch {
		case i < len(rewrite) && rewrite[i] == '\\':
			out = append(out, '\\')
		case i < len(rewrite) && rewrite[i] >= '0' && int(rewrite[i]-'0') < len(groups):
			out = append(out, groups[rewrite[i]-'0']...)
		default:
			return types.NewErr("invalid rewrite %s", rewrite)
		}
	}
	return types.String(out)
}

// capture is the first group.
func capture(re *regexp.Regexp, s string, _ []ref.Val) ref.Val {
	groups := re.FindStringSubmatch(s)
	if len(groups) < 2 {
		return types.NewErr("Unable to capture groups for the given regex")
	}
	return types.String(groups[1])
}

// captureN is all groups by their names; a group without one has its number.
func captureN(re *regexp.Regexp, s string, _ []ref.Val) ref.Val {
	groups := re.FindStringSubmatch(s)
	if len(groups) < 2 {
		return types.NewErr("Unable to capture groups for the given regex")
	}
	byName := make(map[string]string, len(groups)-1)
	for i, name := range re.SubexpNames()[1:] {
		if name == "" {
			name = strconv.Itoa(i + 1)
		}
		byName[name] = groups[i+1]
	}
	return types.NewStringStringMap(types.DefaultTypeAdapter, byName)
}

func (f *regexFunction) compile(pattern string) (*regexp.Regexp, error) {
	re, err := types.CompileRegexWithLimit(pattern, maxRegex)
	if err != nil || !f.whole {
		return re, err
	}
	return types.CompileRegexWithLimit(`\A(?:`+pattern+`)\z`, 0)
}

func (f *regexFunction) call(re *regexp.Regexp, args []ref.Val) ref.Val {
	s, ok := args[0].(types.String)
	if !ok {
		return types.MaybeNoSuchOverloadErr(args[0])
	}
	return f.eval(re, string(s), args[2:])
}

// declare adds the function to the language. Here the expression may be one that the
// client sent: it is compiled each time, up to the limit.
func (f *regexFunction) declare() celgo.EnvOption {
	signature := make([]*celgo.Type, f.args)
	for i := range signature {
		signature[i] = celgo.DynType
	}
	return celgo.Function(f.name, celgo.Overload(f.name+"_dyn", signature, celgo.DynType),
		celgo.SingletonFunctionBinding(func(args ...ref.Val) ref.Val {
			pattern, ok := args[1].(types.String)
			if !ok {
				return types.MaybeNoSuchOverloadErr(args[1])
			}
			re, err := f.compile(string(pattern))
			if err != nil {
				return types.WrapErr(fmt.Errorf("%s: %w", f.name, err))
			}
			return f.call(re, args)
		}))
}

// optimization compiles an expression that is a constant with the program. What does
// not compile is an error when it is evaluated, as in Envoy.
func (f *regexFunction) optimization() *interpreter.RegexOptimization {
	factory := func(call interpreter.InterpretableCall, pattern string) (interpreter.InterpretableCall, error) {
		re, err := f.compile(pattern)
		if err != nil {
			return call, nil //nolint:nilerr // see above
		}
		return interpreter.NewCall(call.ID(), call.Function(), call.OverloadID(), call.Args(),
			func(args ...ref.Val) ref.Val { return f.call(re, args) }), nil
	}
	return &interpreter.RegexOptimization{Function: f.name, RegexIndex: 1, Factory: factory}
}
