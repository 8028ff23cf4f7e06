package h2

import (
	"strings"

	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec/h2/hpack"
)

// A kind is what a header section is.
type kind uint8

const (
	isNothing kind = iota // of a stream that is gone
	isRequest
	isResponse
	isTrailers
)

// A fault is why a header section is not accepted.
type fault uint8

const (
	faultNone       fault = iota
	faultField            // a field is invalid
	faultMessage          // the fields make no message
	faultFieldSize        // a field is too large
	faultSize             // all are
	faultCount            // there are too many fields
	faultUnderscore       // a name has an underscore
)

// A section takes the fields of one header section at a time.
type section struct {
	maxSize, maxCount, maxField int
	underscores                 UnderscoreAction
	noObsText                   bool
	allowConnect                bool

	kind    kind
	to      *httpmsg.Headers
	fault   fault
	cause   string // for the log
	size    int    // bytes of names and values
	count   int
	dropped int   // for their underscores
	length  int64 // content-length; -1 if there is none
	seen    uint8 // the pseudo-headers, a bit for each ID
	regular bool  // a field that is no pseudo-header came

	cookie string // the first crumb
	crumbs []byte // all of them joined, if there are several
}

func (f *section) init(s *Settings) {
	*f = section{
		maxSize: s.maxHeaders(), maxCount: s.MaxHeaders, maxField: s.MaxHeaderFieldKB << 10,
		underscores: s.Underscores, noObsText: s.DisallowObsText, allowConnect: s.AllowConnect,
	}
}

// begin gets ready for the next header section of s, which may be nil.
func (f *section) begin(c *connection, s *stream) {
	f.fault, f.cause, f.size, f.count, f.dropped, f.length = faultNone, "", 0, 0, 0, -1
	f.seen, f.regular, f.cookie, f.crumbs = 0, false, "", nil
	switch {
	case s == nil:
		f.kind, f.to = isNothing, nil
	case s.headersIn:
		f.kind, f.to = isTrailers, new(httpmsg.Headers)
	case c.server:
		f.kind, f.to = isRequest, s.request.RequestHeaders()
	default:
		f.kind, f.to = isResponse, s.response.ResponseHeaders()
	}
}

func (f *section) fail(why fault, cause string) { f.fault, f.cause = why, cause }

// add takes a field. It never fails: the rest of the block is decoded in any case.
func (f *section) add(field *hpack.Field) error {
	if f.fault != faultNone || f.kind == isNothing {
		return nil
	}
	f.count++
	size := len(field.Name) + len(field.Value)
	f.size += size
	switch {
	case len(field.Name) > f.maxField || len(field.Value) > f.maxField:
		f.fail(faultFieldSize, "")
	case strings.HasPrefix(field.Name, ":"):
		f.addPseudo(field)
	default:
		f.regular = true
		f.addRegular(field)
	}
	switch {
	case f.fault == faultField:
		f.size -= size // as Envoy counts
	case f.fault != faultNone:
	case f.count > f.maxCount:
		f.fail(faultCount, "")
	case f.size > f.maxSize:
		f.fail(faultSize, "")
	}
	return nil
}

// bit is the place of a pseudo-header in section.seen.
func bit(id httpmsg.ID) uint8 { return 1 << (id - httpmsg.Method) }

func (f *section) has(id httpmsg.ID) bool { return f.seen&bit(id) != 0 }

func (f *section) addPseudo(field *hpack.Field) {
	switch {
	case f.regular:
		f.fail(faultField, "pseudo-header behind a regular field")
	case !f.allows(field.ID):
		f.fail(faultField, "unknown or misplaced pseudo-header")
	case f.has(field.ID):
		f.fail(faultField, "pseudo-header twice")
	case !validPseudo(field.ID, field.Value):
		f.fail(faultField, "invalid value of a pseudo-header")
	default:
		f.seen |= bit(field.ID)
		value := field.Value
		if field.ID == httpmsg.Scheme {
			value = lowerScheme(value)
		}
		f.to.AddID(field.ID, value)
	}
}

// allows reports whether a message of this kind has that pseudo-header.
func (f *section) allows(id httpmsg.ID) bool {
	switch id {
	case httpmsg.Method, httpmsg.Path, httpmsg.Authority, httpmsg.Scheme:
		return f.kind == isRequest
	case httpmsg.Protocol:
		return f.kind == isRequest && f.allowConnect
	case httpmsg.Status:
		return f.kind == isResponse
	}
	return false
}

func validPseudo(id httpmsg.ID, value string) bool {
	switch id {
	case httpmsg.Method, httpmsg.Protocol:
		return isToken(value)
	case httpmsg.Path:
		return isPath(value)
	case httpmsg.Authority:
		return isAuthority(value)
	case httpmsg.Scheme:
		return isScheme(value)
	}
	return isStatus(value)
}

// lowerScheme spells the schemes that policies compare in the usual way.
func lowerScheme(scheme string) string {
	switch {
	case scheme == "http", scheme == "https":
		return scheme
	case strings.EqualFold(scheme, "http"):
		return "http"
	case strings.EqualFold(scheme, "https"):
		return "https"
	}
	return scheme
}

func (f *section) addRegular(field *hpack.Field) {
	switch {
	case field.ID == httpmsg.Unknown && !isLowerToken(field.Name):
		f.fail(faultField, "invalid header name")
		return
	case !codec.ValidValue(field.Value), f.noObsText && hasObsText(field.Value):
		f.fail(faultField, "invalid header value")
		return
	case f.kind == isRequest && f.underscores != AllowUnderscores && strings.IndexByte(field.Name, '_') >= 0:
		f.dropped++
		if f.underscores == RejectUnderscores {
			f.dropped = 0
			f.fail(faultUnderscore, "")
		}
		return
	}
	switch field.ID {
	case httpmsg.Unknown:
		f.to.Add(field.Name, field.Value)
		return
	case httpmsg.Connection, httpmsg.KeepAlive, httpmsg.ProxyConnection, httpmsg.TransferEncoding, httpmsg.Upgrade:
		f.fail(faultField, "header of a connection")
		return
	case httpmsg.TE:
		if !httpmsg.EqualFold(field.Value, "trailers") {
			f.fail(faultField, "te other than trailers")
			return
		}
	case httpmsg.ContentLength:
		f.addLength(field.Value)
		if f.fault != faultNone {
			return
		}
	case httpmsg.Cookie:
		if f.kind == isRequest {
			f.addCookie(field.Value)
			return
		}
	case httpmsg.Host:
		if f.kind == isRequest {
			f.addHost(field.Value)
			return
		}
	}
	f.to.AddID(field.ID, field.Value)
}

func (f *section) addLength(value string) {
	n, ok := parseLength(value)
	switch {
	case f.kind == isTrailers:
		f.fail(faultMessage, "content-length in trailers")
	case f.length >= 0:
		f.fail(faultField, "several content-length headers")
	case !ok:
		f.fail(faultField, "invalid content-length")
	default:
		f.length = n
	}
}

// hostSeen is the bit of section.seen for the host header, which no pseudo-header has.
const hostSeen = 1 << 7

// addHost makes host the authority, if there is none.
func (f *section) addHost(value string) {
	if f.seen&hostSeen != 0 || !isAuthority(value) {
		f.fail(faultField, "several hosts, or an invalid one")
		return
	}
	f.seen |= hostSeen
	if !f.has(httpmsg.Authority) {
		f.to.AddID(httpmsg.Authority, value)
	}
}

// addCookie joins the crumbs of a cookie (RFC 9113, section 8.2.3).
func (f *section) addCookie(crumb string) {
	switch {
	case f.cookie == "" && f.crumbs == nil:
		f.cookie = crumb
		return
	case f.crumbs == nil:
		f.crumbs = append(f.crumbs, f.cookie...)
	}
	f.crumbs = append(append(f.crumbs, "; "...), crumb...)
}

// end checks the section as a whole.
func (f *section) end(endStream bool) {
	switch f.kind {
	case isRequest:
		f.endRequest(endStream)
	case isResponse:
		f.endResponse(endStream)
	case isTrailers:
		if !endStream {
			f.fail(faultMessage, "trailers that do not end the message")
		}
	}
}

func (f *section) endRequest(endStream bool) {
	switch {
	case f.crumbs != nil:
		f.to.AddID(httpmsg.Cookie, string(f.crumbs))
	case f.cookie != "":
		f.to.AddID(httpmsg.Cookie, f.cookie)
	}
	path, method := f.to.Get(httpmsg.Path), f.to.Get(httpmsg.Method)
	tunnel := method == "CONNECT" && !f.has(httpmsg.Protocol)
	switch {
	case method == "" || !f.to.Has(httpmsg.Authority):
		f.fail(faultMessage, "request without :method or authority")
	case f.has(httpmsg.Protocol) && method != "CONNECT":
		f.fail(faultMessage, ":protocol without CONNECT")
	case f.has(httpmsg.Protocol) && !f.has(httpmsg.Authority):
		f.fail(faultMessage, "extended CONNECT without :authority")
	case tunnel:
		if f.has(httpmsg.Path) || f.has(httpmsg.Scheme) || !f.has(httpmsg.Authority) {
			f.fail(faultMessage, "CONNECT with other pseudo-headers than :authority")
		}
	case path == "" || !f.has(httpmsg.Scheme):
		f.fail(faultMessage, "request without :path or :scheme")
	case path[0] != '/' && (path != "*" || method != "OPTIONS"):
		f.fail(faultMessage, "invalid :path")
	case endStream && f.length > 0:
		f.fail(faultMessage, "content-length without a body")
	}
}

func (f *section) endResponse(endStream bool) {
	code := f.to.StatusCode()
	switch {
	case code == 0:
		f.fail(faultMessage, "response without :status")
	case code == 101:
		f.fail(faultField, "status 101")
	case code < 200 && endStream:
		f.fail(faultMessage, "interim response that ends the stream")
	case code < 200 && f.length >= 0, code == 204 && f.length > 0:
		f.fail(faultField, "content-length without a body")
	}
}
