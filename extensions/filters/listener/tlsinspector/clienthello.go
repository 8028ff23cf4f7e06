package tlsinspector

import "encoding/binary"

// A failure says why bytes are no ClientHello.
type failure uint8

const (
	none failure = iota
	incomplete
	closeNotify
	httpRequest
	proxyRequest
	wrongVersion
	recordTooLong
	tooManyEmpty
	badAlert
	tooManyWarnings
	fatalAlert
	unexpectedRecord
	messageTooLong
	unexpectedMessage
	excessData
	parseFailed
	badExtension
	unsupportedVersion
)

// reason returns what the stream info shows of a failure, in BoringSSL's words.
func (f failure) reason() string {
	const prefix, suffix = "TLS_error|error:", ":TLS_error_end"
	const lib = ":SSL routines:OPENSSL_internal:"
	switch f {
	case httpRequest:
		return prefix + "1000009c" + lib + "HTTP_REQUEST" + suffix
	case proxyRequest:
		return prefix + "1000009b" + lib + "HTTPS_PROXY_REQUEST" + suffix
	case wrongVersion:
		return prefix + "100000f7" + lib + "WRONG_VERSION_NUMBER" + suffix
	case recordTooLong:
		return prefix + "10000092" + lib + "ENCRYPTED_LENGTH_TOO_LONG" + suffix
	case tooManyEmpty:
		return prefix + "100000db" + lib + "TOO_MANY_EMPTY_FRAGMENTS" + suffix
	case badAlert:
		return prefix + "10000066" + lib + "BAD_ALERT" + suffix
	case tooManyWarnings:
		return prefix + "100000dc" + lib + "TOO_MANY_WARNING_ALERTS" + suffix
	case unexpectedRecord:
		return prefix + "100000e1" + lib + "UNEXPECTED_RECORD" + suffix
	case messageTooLong:
		return prefix + "10000096" + lib + "EXCESSIVE_MESSAGE_SIZE" + suffix
	case unexpectedMessage:
		return prefix + "100000df" + lib + "UNEXPECTED_MESSAGE" + suffix
	case excessData:
		return prefix + "100000ff" + lib + "EXCESS_HANDSHAKE_DATA" + suffix
	case parseFailed:
		return prefix + "10000083" + lib + "CLIENTHELLO_PARSE_FAILED" + suffix
	case badExtension:
		return prefix + "10000095" + lib + "ERROR_PARSING_EXTENSION" + suffix
	case unsupportedVersion:
		return prefix + "10000085" + lib + "CONNECTION_REJECTED" + suffix
	}
	return "TLS_error|unknown:TLS_error_end"
}

const (
	recordHeader  = 5
	messageHeader = 4
	maxMessage    = 1 << 14
	maxRecord     = maxMessage + 2048
	maxEmpty      = 32 // records
	maxWarnings   = 4  // alerts
	maxServerName = 255

	alertRecord, handshakeRecord = 21, 22

	extServerName, extGroups, extPointFormats, extSignatures, extALPN, extVersions = 0, 10, 11, 13, 16, 43
)

// A hello is a ClientHello. It refers to the bytes it was read from.
type hello struct {
	version    uint16
	ciphers    []byte
	extensions []byte // well-formed
	serverName []byte
}

// read finds the ClientHello that data begins with. used is how many bytes were needed
// to tell. Data that is incomplete may become anything.
func read(data []byte) (h hello, used int, f failure) {
	message, used, f := reassemble(data)
	if f == none {
		h, f = parse(message[messageHeader:])
	}
	return h, used, f
}

// reassemble joins the records that the first handshake message of data is in.
func reassemble(data []byte) (message []byte, used int, f failure) {
	warnings, empty := 0, 0
	for {
		if len(data)-used < recordHeader {
			return nil, used, incomplete
		}
		header := data[used:]
		n := int(binary.BigEndian.Uint16(header[3:]))
		if f := checkHeader(header, n, used == 0); f != none {
			return nil, used + recordHeader, f
		}
		if len(header) < recordHeader+n {
			return nil, used, incomplete
		}
		record := header[recordHeader : recordHeader+n]
		used += recordHeader + n
		switch {
		case n == 0:
			if empty++; empty > maxEmpty {
				return nil, used, tooManyEmpty
			}
		case header[0] == alertRecord:
			if f := alert(record); f != none {
				return nil, used, f
			}
			if warnings++; warnings > maxWarnings {
				return nil, used, tooManyWarnings
			}
		case header[0] != handshakeRecord:
			return nil, used, unexpectedRecord
		case message == nil:
			message = record[:n:n]
		default:
			message = append(message, record...)
		}
		if f := checkMessage(message); f != incomplete {
			return message, used, f
		}
	}
}

// checkHeader checks the header of a record of n bytes.
func checkHeader(header []byte, n int, first bool) failure {
	switch {
	case header[1] == 3 && n <= maxRecord:
		return none
	case header[1] == 3:
		return recordTooLong
	case !first:
		return wrongVersion
	}
	switch string(header[:recordHeader]) {
	case "POST ", "HEAD ":
		return httpRequest
	case "CONNE":
		return proxyRequest
	}
	switch string(header[:4]) {
	case "GET ", "PUT ":
		return httpRequest
	}
	return wrongVersion
}

// alert returns none for a warning.
func alert(record []byte) failure {
	switch {
	case len(record) != 2 || record[0] != 1 && record[0] != 2:
		return badAlert
	case record[0] == 2:
		return fatalAlert
	case record[1] == 0:
		return closeNotify
	}
	return none
}

// checkMessage tells whether message is a complete ClientHello, as far as its header
// says.
func checkMessage(message []byte) failure {
	if len(message) < messageHeader {
		return incomplete
	}
	n := int(message[1])<<16 | int(message[2])<<8 | int(message[3])
	switch {
	case n > maxMessage:
		return messageTooLong
	case len(message) < messageHeader+n:
		return incomplete
	case message[0] != 1:
		return unexpectedMessage
	case len(message) > messageHeader+n:
		return excessData
	}
	return none
}

// parse reads the body of a ClientHello.
func parse(body []byte) (h hello, f failure) {
	c := cursor{rest: body}
	h.version = c.uint16()
	c.take(32) // random
	session := c.vector8()
	h.ciphers = c.vector16()
	compression := c.vector8()
	if len(c.rest) > 0 {
		h.extensions = c.vector16()
	}
	if c.failed || len(c.rest) > 0 || len(session) > 32 || len(compression) == 0 ||
		len(h.ciphers) == 0 || len(h.ciphers)%2 != 0 || !wellFormed(h.extensions) {
		return hello{}, parseFailed
	}
	if ext, ok := h.extension(extServerName); ok {
		if h.serverName, ok = serverName(ext); !ok {
			return hello{}, badExtension
		}
	}
	return h, none
}

// wellFormed reports whether no extension is cut off or there twice.
func wellFormed(extensions []byte) bool {
	var seen [1 << 16 / 64]uint64
	c := cursor{rest: extensions}
	for len(c.rest) > 0 {
		id := c.uint16()
		c.vector16()
		if c.failed || seen[id/64]&(1<<(id%64)) != 0 {
			return false
		}
		seen[id/64] |= 1 << (id % 64)
	}
	return true
}

func serverName(ext []byte) (name []byte, ok bool) {
	c := cursor{rest: ext}
	list := cursor{rest: c.vector16()}
	kind := list.uint8()
	name = list.vector16()
	ok = !c.failed && !list.failed && len(c.rest) == 0 && len(list.rest) == 0 && kind == 0 &&
		len(name) > 0 && len(name) <= maxServerName
	for _, b := range name {
		ok = ok && b != 0
	}
	return name, ok
}

// extension returns the body of the extension id; false if there is none.
func (h *hello) extension(id uint16) ([]byte, bool) {
	for c := (cursor{rest: h.extensions}); len(c.rest) > 0; {
		is := c.uint16()
		if body := c.vector16(); is == id {
			return body, true
		}
	}
	return nil, false
}

// alpn returns the names of protocols that the client offers, nil if there are none or
// the list is malformed.
func (h *hello) alpn() (names []string) {
	ext, _ := h.extension(extALPN)
	c := cursor{rest: ext}
	list := cursor{rest: c.vector16()}
	if c.failed || len(c.rest) > 0 {
		return nil
	}
	for len(list.rest) > 0 {
		name := list.vector8()
		if len(name) == 0 {
			return nil
		}
		names = append(names, string(name))
	}
	return names
}

// A cursor reads a message. What cannot be read is zero, and failed is set.
type cursor struct {
	rest   []byte
	failed bool
}

func (c *cursor) take(n int) []byte {
	if len(c.rest) < n {
		c.failed, c.rest = true, nil
		return nil
	}
	b := c.rest[:n]
	c.rest = c.rest[n:]
	return b
}

func (c *cursor) uint8() int {
	if b := c.take(1); b != nil {
		return int(b[0])
	}
	return 0
}

func (c *cursor) uint16() uint16 {
	if b := c.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (c *cursor) vector8() []byte  { return c.take(c.uint8()) }
func (c *cursor) vector16() []byte { return c.take(int(c.uint16())) }
