package match

import (
	"regexp"
	"regexp/syntax"
	"strings"
	"unicode/utf8"

	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
)

// maxProgramSize bounds the memory and time of a regular expression whose
// configuration sets no limit. Matching is linear in the text, so this is only
// about size; Envoy's own default of 100 is a runtime value that operators raise
// to this.
const maxProgramSize = 32768

// A Regex is a regular expression that must match a whole text, in RE2's syntax:
// the message envoy.type.matcher.v3.RegexMatcher. Pattern and text are bytes, as
// Latin-1: one byte is one character, so that no text is invalid.
type Regex struct {
	re     *regexp.Regexp
	prefix string
}

// NewRegex compiles an expression. Errors go to errs; the result is nil then.
func NewRegex(cfg *matcherv3.RegexMatcher, path conf.Path, errs *conf.Errors) *Regex {
	tree := parseRegex(cfg, path, errs)
	if tree == nil {
		return nil
	}
	re, err := regexp.Compile(`\A(?:` + widen(cfg.GetRegex()) + `)\z`)
	if err != nil {
		errs.Add(path.Field("regex"), "%v", err)
		return nil
	}
	return &Regex{re, narrow(literalPrefix(tree))}
}

// parseRegex checks syntax and size, and returns the simplified expression.
func parseRegex(cfg *matcherv3.RegexMatcher, path conf.Path, errs *conf.Errors) *syntax.Regexp {
	before := len(*errs)
	conf.Check(cfg, RegexFields(), path, errs)
	at := path.Field("regex")
	tree, err := syntax.Parse(widen(cfg.GetRegex()), syntax.Perl)
	if err != nil {
		errs.Add(at, "%v", err)
		return nil
	}
	tree = tree.Simplify()
	prog, err := syntax.Compile(tree)
	if err != nil {
		errs.Add(at, "%v", err)
		return nil
	}
	limit := uint32(maxProgramSize)
	if m := cfg.GetGoogleRe2().GetMaxProgramSize(); m != nil {
		limit = m.GetValue()
	}
	if size := programSize(prog); size > limit {
		errs.Add(at, "program size of %d is more than the limit of %d", size, limit)
	}
	if len(*errs) > before {
		return nil
	}
	return tree
}

// programSize estimates the size that RE2 reports: four instructions, and one for
// each range of characters, capture and assertion. RE2 folds the others away.
func programSize(prog *syntax.Prog) uint32 {
	size := uint32(4)
	for i := range prog.Inst {
		switch inst := &prog.Inst[i]; inst.Op {
		case syntax.InstRune:
			size += uint32(max(len(inst.Rune)/2, 1))
		case syntax.InstRune1, syntax.InstRuneAny, syntax.InstCapture, syntax.InstEmptyWidth:
			size++
		case syntax.InstRuneAnyNotNL:
			size += 2
		}
	}
	return size
}

// Match reports whether the whole text matches. Any worker.
func (r *Regex) Match(text string) bool { return r.re.MatchString(widen(text)) }

// Prefix returns text that everything that matches begins with.
func (r *Regex) Prefix() string { return r.prefix }

// literalPrefix returns characters that each match begins with.
func literalPrefix(re *syntax.Regexp) string {
	switch re.Op {
	case syntax.OpLiteral:
		if re.Flags&syntax.FoldCase == 0 {
			return string(re.Rune)
		}
	case syntax.OpCapture:
		return literalPrefix(re.Sub[0])
	case syntax.OpConcat:
		subs := re.Sub
		for len(subs) > 0 && subs[0].Op == syntax.OpBeginText {
			subs = subs[1:]
		}
		if len(subs) > 0 {
			return literalPrefix(subs[0])
		}
	}
	return ""
}

// A Substitution replaces what a regular expression matches, all occurrences: the
// message envoy.type.matcher.v3.RegexMatchAndSubstitute.
type Substitution struct {
	re       *regexp.Regexp
	template string
	// idle says that the template names a group that the expression does not have. As
	// in Envoy, whose library notices it when it replaces, nothing is replaced then.
	idle bool
}

// NewSubstitution compiles a substitution. Errors go to errs; the result is nil
// then.
func NewSubstitution(cfg *matcherv3.RegexMatchAndSubstitute, path conf.Path, errs *conf.Errors) *Substitution {
	before := len(*errs)
	conf.Check(cfg, SubstitutionFields(), path, errs)
	if parseRegex(cfg.GetPattern(), path.Field("pattern"), errs) == nil || len(*errs) > before {
		return nil
	}
	re, err := regexp.Compile(widen(cfg.GetPattern().GetRegex()))
	if err != nil {
		errs.Add(path.Field("pattern").Field("regex"), "%v", err)
		return nil
	}
	template, group, ok := goTemplate(widen(cfg.GetSubstitution()))
	if !ok {
		errs.Add(path.Field("substitution"), `a backslash must be followed by a digit or a backslash`)
		return nil
	}
	return &Substitution{re: re, template: template, idle: group > re.NumSubexp()}
}

// goTemplate turns RE2's \0 to \9 and \\ into package regexp's notation, and returns
// the highest group that is named. ok is false if text is not like that.
func goTemplate(text string) (template string, group int, ok bool) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '$':
			b.WriteString("$$")
		case c != '\\':
			b.WriteByte(c)
		case i+1 < len(text) && text[i+1] == '\\':
			i++
			b.WriteByte('\\')
		case i+1 < len(text) && '0' <= text[i+1] && text[i+1] <= '9':
			i++
			group = max(group, int(text[i]-'0'))
			b.WriteString("${" + text[i:i+1] + "}")
		default:
			return "", 0, false
		}
	}
	return b.String(), group, true
}

// Replace returns text with every match replaced. It allocates. Any worker.
func (s *Substitution) Replace(text string) string {
	if s.idle {
		return text
	}
	return narrow(s.re.ReplaceAllString(widen(text), s.template))
}

// widen returns the text whose characters are the bytes of text. It allocates
// only if there are bytes above 127.
func widen(text string) string {
	if isASCII(text) {
		return text
	}
	b := make([]byte, 0, 2*len(text))
	for i := range len(text) {
		b = utf8.AppendRune(b, rune(text[i]))
	}
	return string(b)
}

// narrow undoes widen. Characters beyond a byte, which come from \x{...} in a
// pattern and match no text, end it.
func narrow(text string) string {
	if isASCII(text) {
		return text
	}
	b := make([]byte, 0, len(text))
	for _, r := range text {
		if r > 0xff {
			break
		}
		b = append(b, byte(r))
	}
	return string(b)
}

func isASCII(text string) bool {
	for i := range len(text) {
		if text[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
