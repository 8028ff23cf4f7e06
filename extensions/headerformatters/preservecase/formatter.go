package preservecase

import "github.com/nuncio-proxy/nuncio/api/httpmsg"

// A formatter remembers how the names of one message were spelled.
type formatter struct {
	forwardReason, properCase bool // read-only

	names  []string // as they came; the codec's limit of headers bounds them
	reason string
}

// ProcessKey implements httpmsg.KeyFormatter.
func (f *formatter) ProcessKey(name string) { f.names = append(f.names, name) }

// FormatKey implements httpmsg.KeyFormatter. Of a repeated name the first spelling
// counts for all.
func (f *formatter) FormatKey(dst []byte, name string) []byte {
	for _, spelled := range f.names {
		if httpmsg.EqualFold(spelled, name) {
			return append(dst, spelled...)
		}
	}
	if f.properCase {
		return httpmsg.AppendProperCase(dst, name)
	}
	return append(dst, name...)
}

// SetReasonPhrase implements httpmsg.KeyFormatter.
func (f *formatter) SetReasonPhrase(phrase string) {
	if f.forwardReason {
		f.reason = phrase
	}
}

// ReasonPhrase implements httpmsg.KeyFormatter.
func (f *formatter) ReasonPhrase() string { return f.reason }
