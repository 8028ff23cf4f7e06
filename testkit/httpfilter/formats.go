package httpfilter

import (
	"fmt"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
)

// Formats is a format.Compiler that knows the operators REQ(name) and RESP(name).
type Formats struct{}

// Compile compiles a text in which missing values are "-".
func (Formats) Compile(text string) (format.Format, error) { return compile(text, "-") }

// With returns f: it knows no formatters.
func (f Formats) With([]*corev3.TypedExtensionConfig, conf.Path, *conf.Errors) format.Compiler {
	return f
}

// FromProto compiles an inline text.
func (Formats) FromProto(msg *corev3.SubstitutionFormatString, path conf.Path, errs *conf.Errors) format.Format {
	missing := "-"
	if msg.GetOmitEmptyValues() {
		missing = ""
	}
	f, err := compile(msg.GetTextFormatSource().GetInlineString(), missing)
	if err != nil {
		errs.Add(path.Field("text_format_source").Field("inline_string"), "%v", err)
		return nil
	}
	return f
}

// pieces are literal texts and operators in turn.
type pieces struct {
	list    []string
	missing string
}

func compile(text, missing string) (format.Format, error) {
	p := &pieces{list: strings.Split(text, "%"), missing: missing}
	for i := 1; i < len(p.list); i += 2 {
		name, _, _ := strings.Cut(p.list[i], "(")
		if name != "" && name != "REQ" && name != "RESP" {
			return nil, fmt.Errorf("unknown operator %s", name)
		}
	}
	return p, nil
}

// Append implements format.Format.
func (p *pieces) Append(dst []byte, e *format.Entry) []byte {
	for i, piece := range p.list {
		switch name, isRequest := strings.CutPrefix(piece, "REQ("); {
		case i%2 == 0:
			dst = append(dst, piece...)
		case piece == "":
			dst = append(dst, '%')
		case isRequest:
			dst = p.header(dst, e.Request, name)
		default:
			dst = p.header(dst, e.Response, strings.TrimPrefix(piece, "RESP("))
		}
	}
	return dst
}

func (p *pieces) header(dst []byte, h *httpmsg.Headers, name string) []byte {
	if h != nil {
		if value, ok := h.Find(strings.ToLower(strings.TrimSuffix(name, ")"))); ok {
			return append(dst, value...)
		}
	}
	return append(dst, p.missing...)
}

// Literal implements format.Format.
func (p *pieces) Literal() (string, bool) { return p.list[0], len(p.list) == 1 }
