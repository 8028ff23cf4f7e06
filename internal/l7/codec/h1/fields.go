package h1

import (
	"bytes"
	"math"
	"strings"

	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec"
)

// framing is what the headers of a message say about its body and connection.
type framing struct {
	size     uint64 // bytes of the fields, as a streaminfo.Meter counts them
	length   uint64 // content-length
	sized    bool   // there is one
	encoding coding
	hosts    int
	dropped  int // headers dropped for their underscores
	persist  persistence
}

// A coding is what transfer-encoding says.
type coding uint8

const (
	noCoding coding = iota
	chunkedCoding
	unknownCoding
)

// A persistence is what connection says.
type persistence struct{ close, keepAlive, upgrade bool }

// A fieldParser parses header blocks.
type fieldParser struct {
	maxFields   int
	underscores UnderscoreAction
	request     bool // host becomes :authority
}

// fieldOverhead is what a field that is received counts besides its name and value.
const fieldOverhead = 3

// parse adds the fields in block[at:], which ends with an empty line, to h. It
// changes the bytes of block; h keeps strings that are cut from it.
func (p *fieldParser) parse(h *httpmsg.Headers, block []byte, at int, f *framing) *codec.Error {
	keys := h.Formatter()
	for count := 0; ; count++ {
		next := at + bytes.IndexByte(block[at:], '\n') + 1
		line := trimCR(block[at : next-1])
		if len(line) == 0 {
			return nil
		}
		if count == p.maxFields {
			return headersTooLarge("http1.too_many_headers")
		}
		folded := false
		if isBlank(block[next]) {
			line, next = unfold(block, at, at+len(line), next)
			folded = true
		}
		at = next
		spelled := ""
		if keys != nil {
			spelled = string(line[:max(bytes.IndexByte(line, ':'), 0)])
		}
		colon := lowerName(line)
		if err := checkName(line, colon); err != nil {
			return err
		}
		value := trimValue(line[colon+1:])
		if !codec.ValidValue(stringOf(value)) {
			return badRequest("http1.invalid_characters", "control character in a header value")
		}
		f.size += uint64(colon+len(value)) + fieldOverhead
		dropped := f.dropped
		if err := p.add(h, stringOf(line[:colon]), stringOf(value), folded, f); err != nil {
			return err
		}
		if keys != nil && f.dropped == dropped {
			keys.ProcessKey(spelled)
		}
	}
}

// checkName refuses a line whose name, of that length, is empty or ends with
// anything but the colon.
func checkName(line []byte, length int) *codec.Error {
	switch {
	case length > 0 && length < len(line) && line[length] == ':':
		return nil
	case length < len(line) && isControl(line[length]):
		return badRequest("http1.invalid_characters", "control character in a header name")
	}
	return codecError("invalid header name")
}

// lowerName turns the name at the start of line to lower case and returns its
// length.
func lowerName(line []byte) int {
	for i, c := range line {
		l := tokenLower[c]
		if l == 0 {
			return i
		}
		line[i] = l
	}
	return len(line)
}

func trimValue(v []byte) []byte {
	for len(v) > 0 && isBlank(v[0]) {
		v = v[1:]
	}
	return trimRight(v)
}

// unfold joins the line block[at:end] with the lines from next on that continue
// it, by deleting the line ends, as Envoy does.
func unfold(block []byte, at, end, next int) (line []byte, after int) {
	for isBlank(block[next]) {
		lineEnd := next + bytes.IndexByte(block[next:], '\n')
		end += copy(block[end:], trimCR(block[next:lineEnd]))
		next = lineEnd + 1
	}
	return block[at:end], next
}

func (p *fieldParser) add(h *httpmsg.Headers, name, value string, folded bool, f *framing) *codec.Error {
	if p.underscores != AllowUnderscores && strings.IndexByte(name, '_') >= 0 {
		f.dropped++
		if p.underscores == RejectUnderscores {
			return badRequest("http1.unexpected_underscore", "underscore in a header name")
		}
		return nil
	}
	id := httpmsg.Lookup(name)
	switch id {
	case httpmsg.Unknown:
		h.Append(name, value)
		return nil
	case httpmsg.ContentLength:
		if f.sized {
			return codecError("several content-length headers")
		}
		if f.length, f.sized = parseLength(value); !f.sized || folded {
			return codecError("invalid content-length")
		}
	case httpmsg.TransferEncoding:
		if folded {
			return codecError("folded transfer-encoding")
		}
		if f.encoding == noCoding && httpmsg.EqualFold(value, "chunked") {
			f.encoding = chunkedCoding
		} else {
			f.encoding = unknownCoding
		}
	case httpmsg.Host:
		if p.request {
			if f.hosts++; f.hosts > 1 || folded {
				return badRequest("http.invalid_authority", "several host headers")
			}
			h.Set(httpmsg.Authority, value)
			return nil
		}
	case httpmsg.Connection:
		f.persist.add(value)
	case httpmsg.ProxyConnection:
		f.persist.close = f.persist.close || httpmsg.HasToken(value, "close")
	}
	h.AppendID(id, value)
	return nil
}

func (p *persistence) add(value string) {
	for value != "" {
		var token string
		token, value = httpmsg.NextToken(value)
		switch {
		case httpmsg.EqualFold(token, "close"):
			p.close = true
		case httpmsg.EqualFold(token, "keep-alive"):
			p.keepAlive = true
		case httpmsg.EqualFold(token, "upgrade"):
			p.upgrade = true
		}
	}
}

// parseLength returns the value of a content-length; ok is false if it is none.
func parseLength(s string) (n uint64, ok bool) {
	for i := range len(s) {
		d := uint64(s[i]) - '0'
		if d > 9 || n > (math.MaxUint64-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, s != ""
}

// checkFraming refuses what would frame a body in two ways. A content-length that
// loses against chunked is removed.
func checkFraming(h *httpmsg.Headers, f *framing, allowChunkedLength bool) *codec.Error {
	if f.encoding == noCoding {
		return nil
	}
	if f.sized {
		if f.encoding != chunkedCoding || !allowChunkedLength {
			return badRequest("http1.content_length_and_chunked_not_allowed", "")
		}
		h.Remove(httpmsg.ContentLength)
		f.length, f.sized = 0, false
	}
	if f.encoding == unknownCoding {
		return invalidTransferEncoding()
	}
	return nil
}

// maxNominated is one more than the tokens that a connection header may have, and
// maxTE bounds a te header that it names; both are Envoy's.
const (
	maxNominated = 10
	maxTE        = 256
)

// removeNominated removes the headers that connection names (RFC 9110, 7.6.1).
// It returns false if the request has to be refused. Connection itself stays.
func removeNominated(h *httpmsg.Headers) bool {
	list, _ := h.Joined("connection")
	if strings.Count(list, ",") >= maxNominated-1 {
		return false
	}
	for list != "" {
		var token string
		if token, list = httpmsg.NextToken(list); token == "" {
			continue
		}
		if isConnectionOption(token) {
			continue
		}
		switch name := strings.ToLower(token); name {
		case "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto":
			// A client could hide where a request comes from.
			return false
		case "host":
			h.Remove(httpmsg.Authority)
		case "te":
			te := h.Get(httpmsg.TE)
			if len(te) >= maxTE {
				return false
			}
			if httpmsg.HasToken(te, "trailers") {
				h.Set(httpmsg.TE, "trailers")
			} else {
				h.Remove(httpmsg.TE)
			}
		default:
			if name[0] == ':' {
				return false
			}
			h.RemoveName(name)
		}
	}
	return true
}

// isConnectionOption tells the tokens that are no nominations: the connection
// manager removes these headers.
func isConnectionOption(token string) bool {
	for _, option := range [...]string{"keep-alive", "close", "upgrade", "http2-settings", "connection"} {
		if httpmsg.EqualFold(token, option) {
			return true
		}
	}
	return false
}
