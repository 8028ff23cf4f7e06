package grpc

// A Base64Decoder decodes a stream of padded base64. The zero Base64Decoder is ready.
type Base64Decoder struct {
	group [4]byte
	have  int
}

// Append decodes what p completes and appends it to dst. ok is false for what is no
// base64. As in Envoy padding ends what came at once: behind it the next piece may begin
// anew, but no more of this one.
func (d *Base64Decoder) Append(dst, p []byte) (_ []byte, ok bool) {
	padded := false
	for _, c := range p {
		d.group[d.have] = c
		if d.have++; d.have < len(d.group) {
			continue
		}
		d.have = 0
		if padded {
			return dst, false
		}
		if dst, ok = appendGroup(dst, d.group); !ok {
			return dst, false
		}
		padded = c == '='
	}
	return dst, true
}

// Complete reports whether no character is missing.
func (d *Base64Decoder) Complete() bool { return d.have == 0 }

// appendGroup decodes four characters.
func appendGroup(dst []byte, group [4]byte) (_ []byte, ok bool) {
	padding := 0
	if group[3] == '=' {
		if padding = 1; group[2] == '=' {
			padding = 2
		}
	}
	bits := uint32(0)
	for i, c := range group {
		v := byte(0)
		if i < len(group)-padding {
			if v, ok = digit(c); !ok {
				return dst, false
			}
		}
		bits = bits<<6 | uint32(v)
	}
	out := [3]byte{byte(bits >> 16), byte(bits >> 8), byte(bits)}
	for _, unused := range out[3-padding:] {
		if unused != 0 {
			return dst, false
		}
	}
	return append(dst, out[:3-padding]...), true
}

func digit(c byte) (v byte, ok bool) {
	switch {
	case 'A' <= c && c <= 'Z':
		return c - 'A', true
	case 'a' <= c && c <= 'z':
		return c - 'a' + 26, true
	case '0' <= c && c <= '9':
		return c - '0' + 52, true
	case c == '+':
		return 62, true
	case c == '/':
		return 63, true
	}
	return 0, false
}

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

// A Base64Encoder encodes a stream with padding where it ends. The zero Base64Encoder is
// ready.
type Base64Encoder struct {
	group [3]byte
	have  int
}

// Append encodes what p completes and appends it to dst.
func (e *Base64Encoder) Append(dst, p []byte) []byte {
	for _, c := range p {
		e.group[e.have] = c
		if e.have++; e.have == len(e.group) {
			dst = e.Flush(dst)
		}
	}
	return dst
}

// Flush ends the stream, and appends what is left with its padding to dst.
func (e *Base64Encoder) Flush(dst []byte) []byte {
	if e.have == 0 {
		return dst
	}
	clear(e.group[e.have:])
	bits := uint32(e.group[0])<<16 | uint32(e.group[1])<<8 | uint32(e.group[2])
	out := [4]byte{alphabet[bits>>18], alphabet[bits>>12&63], alphabet[bits>>6&63], alphabet[bits&63]}
	for i := e.have + 1; i < len(out); i++ {
		out[i] = '='
	}
	e.have = 0
	return append(dst, out[:]...)
}
