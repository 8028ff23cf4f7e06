package httpmsg

// A KeyFormatter decides how HTTP/1 spells the names of a message's header fields,
// and may keep how the peer spelled them. It belongs to one Headers and the worker
// of its stream; the codec that reads the message makes it, and the one that sends
// the message asks it.
type KeyFormatter interface {
	// ProcessKey is told the name of each field of the message in order, as the peer
	// wrote it. The formatter may keep the string.
	ProcessKey(name string)
	// FormatKey appends to dst how the field with that lower-case name is to be
	// written.
	FormatKey(dst []byte, name string) []byte
	// SetReasonPhrase is told the reason phrase of a response, which may be kept.
	SetReasonPhrase(phrase string)
	// ReasonPhrase returns the reason phrase to send in place of the usual one, or "".
	ReasonPhrase() string
}

// SetFormatter makes f the formatter of h, nil for none.
func (h *Headers) SetFormatter(f KeyFormatter) { h.formatter = f }

// Formatter returns the formatter of h, nil if names are written as the connection
// writes them.
func (h *Headers) Formatter() KeyFormatter { return h.formatter }

// AppendProperCase appends name to dst with a capital letter at its start and behind
// everything but letters and digits.
func AppendProperCase(dst []byte, name string) []byte {
	word := false
	for i := range len(name) {
		c := name[i]
		letter := 'a' <= c && c <= 'z'
		if letter && !word {
			c &^= 0x20
		}
		word = letter || '0' <= c && c <= '9'
		dst = append(dst, c)
	}
	return dst
}
