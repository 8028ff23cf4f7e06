package h1

import (
	"fmt"
	"strings"
	"testing"
)

// A hostile request, by the name that the collection of observations gives it.
type hostile struct {
	id, bytes string
	want      string // "error <status> <detail>", or the last entries of the transcript
	settings  func(*Settings)
}

// in completes a request line and a host.
func in(line, rest string) string { return line + " HTTP/1.1\r\nHost: a\r\n" + rest }

func post(rest string) string    { return in("POST /x", rest) }
func chunks(body string) string  { return post("Transfer-Encoding: chunked\r\n\r\n" + body) }
func getWith(rest string) string { return in("GET /x", rest+"\r\n") }

func numbered(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "x-%d: a\r\n", i)
	}
	return b.String()
}

const (
	codecErr   = "error 400 http1.codec_error"
	bothErr    = "error 400 http1.content_length_and_chunked_not_allowed"
	codingErr  = "error 501 http1.invalid_transfer_encoding"
	charErr    = "error 400 http1.invalid_characters"
	urlErr     = "error 400 http1.invalid_url"
	hostErr    = "error 400 http.invalid_authority"
	versionErr = "error 426 low_version"
	largeErr   = "error 431 http1.headers_too_large"
	manyErr    = "error 431 http1.too_many_headers"
	bodyErr    = "error 400 http1.body_disallowed"
	passes     = "end"
	abc        = "data abc\nend"
)

func accept10(s *Settings)      { s.AcceptHTTP10, s.DefaultHost = true, "dflt" }
func chunkedWins(s *Settings)   { s.AllowChunkedLength = true }
func anyMethod(s *Settings)     { s.AllowCustomMethods = true }
func edge(s *Settings)          { s.Underscores = RejectUnderscores }
func keepTrailers(s *Settings)  { s.EnableTrailers = true }
func noAbsoluteURL(s *Settings) { s.DisallowAbsoluteURL = true }

func ignoreUpgrades(s *Settings) {
	s.IgnoreUpgrade = func(protocol string) bool { return protocol == "foo" || protocol == "bar" }
}

var hostileRequests = []hostile{
	// Transfer-Encoding.
	{"clte", post("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG"), bothErr, nil},
	{"tecl", post("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\nGPOST / HTTP/1.1\r\n\r\n0\r\n\r\n"), bothErr, nil},
	{"te0", in("OPTIONS /x", "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n24\r\nGET /smug"), bothErr, nil},
	{"te_x", post("Transfer-Encoding: xchunked\r\nContent-Length: 3\r\n\r\nabc"), bothErr, nil},
	{"te_gzip", post("Transfer-Encoding: gzip\r\n\r\nabc"), codingErr, nil},
	{"te_gzip_chunked", post("Transfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"), codingErr, nil},
	{"te_chunked_gzip", post("Transfer-Encoding: chunked, gzip\r\n\r\n3\r\nabc\r\n0\r\n\r\n"), codingErr, nil},
	{"te_twice", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"), codingErr, nil},
	{"te_twice_ident", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n3\r\nabc\r\n0\r\n\r\n"), codingErr, nil},
	{"te_identity", post("Transfer-Encoding: identity\r\nContent-Length: 3\r\n\r\nabc"), bothErr, nil},
	{"te_sp_colon", post("Transfer-Encoding : chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"), codecErr, nil},
	{"te_tab_val", post("Transfer-Encoding:\tchunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"), abc, nil},
	{"te_vt_val", post("Transfer-Encoding: \x0bchunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"), charErr, nil},
	{"te_upper", post("Transfer-Encoding: CHUNKED\r\n\r\n3\r\nabc\r\n0\r\n\r\n"), abc, nil},
	{"te_quoted", post("Transfer-Encoding: \"chunked\"\r\n\r\n3\r\nabc\r\n0\r\n\r\n"), codingErr, nil},
	{"te_http10", "POST /x HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", versionErr, nil},
	{"te_http10 accepted", "POST /x HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"error 400 http1.transfer_encoding_not_allowed", accept10},
	{"te_underscore", post("Transfer_Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc"), abc, nil},
	{"te_empty", post("Transfer-Encoding: \r\nContent-Length: 3\r\n\r\nabc"), bothErr, nil},
	{"te_empty alone", post("Transfer-Encoding: \r\n\r\nabc"), codingErr, nil},
	{"te chunked length", post("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"), abc, chunkedWins},
	{"te gzip length", post("Content-Length: 6\r\nTransfer-Encoding: gzip\r\n\r\n3\r\nabc\r\n0\r\n\r\n"), bothErr, chunkedWins},

	// Content-Length.
	{"cl_dup_same", post("Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"), codecErr, nil},
	{"cl_dup_diff", post("Content-Length: 3\r\nContent-Length: 8\r\n\r\nabcdefgh"), codecErr, nil},
	{"cl_list_same", post("Content-Length: 3, 3\r\n\r\nabc"), codecErr, nil},
	{"cl_list_diff", post("Content-Length: 3, 4\r\n\r\nabcd"), codecErr, nil},
	{"cl_plus", post("Content-Length: +3\r\n\r\nabc"), codecErr, nil},
	{"cl_neg", post("Content-Length: -1\r\n\r\nabc"), codecErr, nil},
	{"cl_hex", post("Content-Length: 0x3\r\n\r\nabc"), codecErr, nil},
	{"cl_empty", post("Content-Length: \r\n\r\n"), codecErr, nil},
	{"cl_sp_in", post("Content-Length: 3 0\r\n\r\nabc"), codecErr, nil},
	{"cl_lead0", post("Content-Length: 0003\r\n\r\nabc"), abc, nil},
	{"cl_overflow", post("Content-Length: 18446744073709551617\r\n\r\na"), codecErr, nil},
	{"cl_overflow_uint64", post("Content-Length: 18446744073709551616\r\n\r\na"), codecErr, nil},
	{"cl_max", post("Content-Length: 18446744073709551615\r\n\r\na"), "data a", nil},
	{"cl_underscore_d", post("Content_Length: 3\r\n\r\n"), passes, nil},
	{"cl_get_body", in("GET /x", "Content-Length: 3\r\n\r\nabc"), abc, nil},
	{"cl folded", post("Content-Length:\r\n 3\r\n\r\nabc"), codecErr, nil},

	// Chunks.
	{"ch_ext", chunks("3;a=b\r\nabc\r\n0\r\n\r\n"), abc, nil},
	{"ch_ext_lf", chunks("3;a\nxx\r\nabc\r\n0\r\n\r\n"), codecErr, nil},
	{"ch_ext_cr", chunks("3;a\rxx\r\nabc\r\n0\r\n\r\n"), codecErr, nil},
	{"ch_lf_only", chunks("3\nabc\n0\n\n"), codecErr, nil},
	{"ch_size_lf", chunks("3\nabc\r\n0\r\n\r\n"), codecErr, nil},
	{"ch_0x", chunks("0x3\r\nabc\r\n0\r\n\r\n"), codecErr, nil},
	{"ch_neg", chunks("-3\r\nabc\r\n0\r\n\r\n"), codecErr, nil},
	{"ch_sp_before", chunks(" 3\r\nabc\r\n0\r\n\r\n"), codecErr, nil},
	{"ch_sp_after", chunks("3 \r\nabc\r\n0\r\n\r\n"), abc, nil},
	{"ch_tab_after", chunks("3\t;a\r\nabc\r\n0\r\n\r\n"), abc, nil},
	{"ch_ext_nul", chunks("3;\x00\x01\r\nabc\r\n0\r\n\r\n"), abc, nil},
	{"ch_empty", chunks("\r\nabc\r\n0\r\n\r\n"), codecErr, nil},
	{"ch_data_lf", chunks("3\r\nabc\n0\r\n\r\n"), codecErr, nil},
	{"ch_overflow", chunks("10000000000000003\r\nabc\r\n0\r\n\r\n"), codecErr, nil},
	{"ch_nonhex", chunks("zz\r\nabc\r\n0\r\n\r\n"), codecErr, nil},
	{"ch_missing_crlf", chunks("3\r\nabc0\r\n\r\n"), codecErr, nil},
	{"ch_data_toolong", chunks("3\r\nabcXX\r\n0\r\n\r\n"), codecErr, nil},
	{"ch_underscore", chunks("1_0\r\nabcdefghijklmnop\r\n0\r\n\r\n"), codecErr, nil},
	{"ch_ext_long", chunks("3;" + strings.Repeat("a", 20000) + "\r\nabc\r\n0\r\n\r\n"), abc, nil},
	{"ch_zeros", chunks(strings.Repeat("0", 20000) + "3\r\nabc\r\n0\r\n\r\n"), abc, nil},
	{"ch_max", chunks("ffffffffffffffff\r\nabc"), "data abc", nil},
	{"ch_trailer", chunks("3\r\nabc\r\n0\r\nx-t: 1\r\n\r\n"), abc, nil},
	{"ch_trailer_cl", chunks("3\r\nabc\r\n0\r\nContent-Length: 9\r\n\r\n"), abc, nil},
	{"ch_trailer_big", chunks("3\r\nabc\r\n0\r\nx-t: " + strings.Repeat("a", 70000) + "\r\n\r\n"), largeErr, nil},
	{"ch_trailer_many", chunks("0\r\n" + numbered(101) + "\r\n"), passes, nil},
	{"ch_trailer_many kept", chunks("0\r\n" + numbered(101) + "\r\n"), manyErr, keepTrailers},
	{"ch_trailer_bad", chunks("0\r\nx y: 1\r\n\r\n"), codecErr, nil},
	{"ch_last_lf", chunks("0\r\n\n"), codecErr, nil},
	{"ch_last_cr", chunks("0\r\n\rx"), codecErr, nil},

	// Folding, bare CR and LF.
	{"obs_fold", getWith("X-A: a\r\n b\r\n"), `head HTTP/1.1 :authority="a" :path="/x" :method="GET" x-a="a b"` + "\nend", nil},
	{"obs_fold more", getWith("X-A: a  \r\n \t  b  \r\n  c\r\nX-B: d\r\n"),
		`head HTTP/1.1 :authority="a" :path="/x" :method="GET" x-a="a   \t  b    c" x-b="d"` + "\nend", nil},
	{"obs_fold empty", getWith("X-A: a\r\n  \r\nX-B: c\r\n"), `x-a="a" x-b="c"` + "\nend", nil},
	{"obs_fold_te", post("Transfer-Encoding:\r\n chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"), codecErr, nil},
	{"obs_fold_first", "GET /x HTTP/1.1\r\n Host: a\r\n\r\n", codecErr, nil},
	{"obs_fold_name", getWith("X\r\n A: b\r\n"), codecErr, nil},
	{"bare_lf_all", "GET /x HTTP/1.1\nHost: a\n\n", passes, nil},
	{"bare_lf_hdr", "GET /x HTTP/1.1\r\nHost: a\nX-A: b\r\n\r\n", passes, nil},
	{"bare_cr_val", getWith("X-A: b\rc\r\n"), charErr, nil},
	{"bare_cr_end", "GET /x HTTP/1.1\rHost: a\r\r", "stream", nil},

	// Names and values.
	{"nul_val", getWith("X-A: a\x00b\r\n"), charErr, nil},
	{"ctl_name", getWith("X\x1fA: b\r\n"), charErr, nil},
	{"del_name", getWith("X\x7fA: b\r\n"), charErr, nil},
	{"tab_name", getWith("X\tA: b\r\n"), codecErr, nil},
	{"cr_name", getWith("X\rA: b\r\n"), codecErr, nil},
	{"nul_name", getWith("X\x00A: b\r\n"), charErr, nil},
	{"ctl_val_01", getWith("X-A: a\x01b\r\n"), charErr, nil},
	{"ctl_val_7f", getWith("X-A: a\x7fb\r\n"), charErr, nil},
	{"ctl_val_late", getWith("X-A: " + strings.Repeat("a", 21) + "\x1f\r\n"), charErr, nil},
	{"hi_val_80", getWith("X-A: a\x80b\r\n"), passes, nil},
	{"tab_val", getWith("X-A: aaaaaaaa\tb\r\n"), passes, nil},
	{"sp_colon", getWith("X-A : b\r\n"), codecErr, nil},
	{"sp_name", getWith("X A: b\r\n"), codecErr, nil},
	{"empty_name", getWith(": b\r\n"), codecErr, nil},
	{"no_colon", getWith("XAB\r\n"), codecErr, nil},
	{"name_paren", getWith("X(A): b\r\n"), codecErr, nil},
	{"name_utf8", getWith("X-\xc3\xa9: b\r\n"), codecErr, nil},
	{"name_underscore", getWith("x_a: b\r\n"), passes, nil},
	{"edge_underscore", getWith("x_a: 1\r\n"), "error 400 http1.unexpected_underscore", edge},
	{"pseudo_name", getWith(":path: /admin\r\n"), codecErr, nil},

	// Request target.
	{"path_nul", in("GET /a\x00b", "\r\n"), charErr, nil},
	{"path_del", in("GET /a\x7fb", "\r\n"), charErr, nil},
	{"path_cr", in("GET /a\rb", "\r\n"), codecErr, nil},
	{"path_ctl", in("GET /a\x01b", "\r\n"), charErr, nil},
	{"path_sp", in("GET /a b", "\r\n"), codecErr, nil},
	{"path_tab", in("GET /a\tb", "\r\n"), codecErr, nil},
	{"path_hi", in("GET /a\xc3\xa9", "\r\n"), codecErr, nil},
	{"path_frag", in("GET /a#frag", "\r\n"), passes, nil}, // the connection manager refuses it
	{"path_bs", in("GET /a\\b", "\r\n"), `:authority="a" :path="/a\\b" :method="GET"` + "\nend", nil},
	{"path_star_get", in("GET *", "\r\n"), urlErr, nil},
	{"path_star_opt", in("OPTIONS *", "\r\n"), passes, nil},
	{"path_star_more", in("OPTIONS *x", "\r\n"), `:authority="a" :path="*x" :method="OPTIONS"` + "\nend", nil},
	{"path_noslash", in("GET x", "\r\n"), codecErr, nil},
	{"path_empty", in("GET ", "\r\n"), codecErr, nil},
	{"abs_form", in("GET http://other/p", "\r\n"), `:authority="other" :scheme="http" :path="/p" :method="GET"` + "\nend", nil},
	{"abs_form_userinfo", in("GET http://u:p@other/p", "\r\n"), `:authority="other" :scheme="http" :path="/p" :method="GET"` + "\nend", nil},
	{"abs_form_badport", in("GET http://other:99999/p", "\r\n"), urlErr, nil},
	{"abs_form_https", in("GET https://other/p", "\r\n"), `:authority="other" :scheme="https" :path="/p" :method="GET"` + "\nend", nil},
	{"abs_form_ftp", in("GET ftp://other/p", "\r\n"), "error 400 http1.invalid_scheme", nil},
	{"abs_form_noauth", in("GET http:///p", "\r\n"), urlErr, nil},
	{"abs_form_nopath", in("GET HTTP://OTHER:80", "\r\n"), `:authority="OTHER:80" :scheme="http" :path="/" :method="GET"` + "\nend", nil},
	{"abs_form_query", in("GET http://other?x=1", "\r\n"), `:authority="other" :scheme="http" :path="?x=1" :method="GET"` + "\nend", nil},
	{"abs_form_emptyport", in("GET http://o:/p", "\r\n"), urlErr, nil},
	{"abs_form_badhost", in("GET http://o<x/p", "\r\n"), codecErr, nil},
	{"abs_form_two_at", in("GET http://a@b@c/p", "\r\n"), urlErr, nil},
	{"abs_form_v6", in("GET http://[::1]:80/p", "\r\n"), `:authority="[::1]:80" :scheme="http" :path="/p" :method="GET"` + "\nend", nil},
	{"abs_form_nohost", "GET http://o/p HTTP/1.1\r\n\r\n", `:authority="o" :scheme="http" :path="/p" :method="GET"` + "\nend", nil},
	{"abs_form_off", in("GET http://o/p", "\r\n"), `:authority="a" :path="http://o/p" :method="GET"` + "\nend", noAbsoluteURL},
	{"mailto", in("GET mailto:x", "\r\n"), codecErr, nil},

	// Host.
	{"nohost", "GET /x HTTP/1.1\r\n\r\n", `:path="/x" :method="GET"` + "\nend", nil}, // the connection manager refuses it
	{"nohost10", "GET /x HTTP/1.0\r\n\r\n", versionErr, nil},
	{"nohost10 accepted", "GET /x HTTP/1.0\r\n\r\n", `:authority="dflt" :path="/x" :method="GET"` + "\nend", accept10},
	{"host_empty", "GET /x HTTP/1.1\r\nHost: \r\n\r\n", `:authority="" :path="/x" :method="GET"` + "\nend", nil},
	{"host_dup", getWith("Host: b\r\n"), hostErr, nil},
	{"host_dup_same", getWith("Host: a\r\n"), hostErr, nil},
	{"host_at", "GET /x HTTP/1.1\r\nHost: a@b\r\n\r\n", passes, nil},
	{"host_sp", "GET /x HTTP/1.1\r\nHost: a b\r\n\r\n", hostErr, nil},
	{"host_slash", "GET /x HTTP/1.1\r\nHost: a/b\r\n\r\n", hostErr, nil},
	{"host_comma", "GET /x HTTP/1.1\r\nHost: a,b\r\n\r\n", passes, nil},
	{"host_bad", "GET /x HTTP/1.1\r\nHost: a<b\r\n\r\n", hostErr, nil},
	{"host_nul", "GET /x HTTP/1.1\r\nHost: a\x00b\r\n\r\n", charErr, nil},
	{"host_folded", "GET /x HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", hostErr, nil},

	// Method and version.
	{"meth_lower", in("get /x", "\r\n"), codecErr, nil},
	{"meth_unknown", in("FOO /x", "\r\n"), codecErr, nil},
	{"meth_custom", in("FOO /x", "\r\n"), `:authority="a" :path="/x" :method="FOO"` + "\nend", anyMethod},
	{"meth_bad", in("G(T /x", "\r\n"), codecErr, nil},
	{"meth_bad custom", in("G(T /x", "\r\n"), codecErr, anyMethod},
	{"meth_long", in(strings.Repeat("A", 300)+" /x", "\r\n"), codecErr, nil},
	{"meth_priv", "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", codecErr, nil},
	{"trace", in("TRACE /x", "\r\n"), passes, nil},
	{"ver09", "GET /x\r\n\r\n", versionErr, nil},
	{"ver10", "GET /x HTTP/1.0\r\nHost: a\r\n\r\n", versionErr, nil},
	{"ver12", "GET /x HTTP/1.2\r\nHost: a\r\n\r\n", versionErr, nil},
	{"ver09 line", "GET /x\r\n", versionErr, nil},
	{"ver09 accepted", "GET /x\r\n\r\n", versionErr, accept10},
	{"ver12 accepted", "GET /x HTTP/1.2\r\nHost: a\r\n\r\n", `head HTTP/1.0 :authority="a" :path="/x" :method="GET"` + "\nend", accept10},
	{"te_http12 accepted", "POST /x HTTP/1.2\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"error 400 http1.transfer_encoding_not_allowed", accept10},
	{"ver_trail", in("GET /x", "\r\n")[:15] + " \t\r\nHost: a\r\n\r\n", passes, nil},
	{"ver20", "GET /x HTTP/2.0\r\nHost: a\r\n\r\n", versionErr, nil},
	{"ver11x", "GET /x HTTP/1.1x\r\nHost: a\r\n\r\n", codecErr, nil},
	{"ver_lower", "GET /x http/1.1\r\nHost: a\r\n\r\n", codecErr, nil},
	{"ver_0101", "GET /x HTTP/01.1\r\nHost: a\r\n\r\n", codecErr, nil},
	{"two_sp", in("GET  /x ", "\r\n"), passes, nil},
	{"tab_sep", "GET\t/x\tHTTP/1.1\r\nHost: a\r\n\r\n", passes, nil},
	{"lead_crlf", "\r\n\r\n" + get, passes, nil},
	{"lead_sp", " " + get, codecErr, nil},
	{"lead_lf", "\n" + get, passes, nil},
	{"lead_only", "\r\n\r\n", "stream", nil},
	{"lead_many_crlf", strings.Repeat("\r\n", 5000) + get, passes, nil},

	// Sizes and other protocols.
	{"tls_on_plain", "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03", codecErr, nil},
	{"garbage", "\x00\xff\xfe garbage\r\n\r\n", codecErr, nil},
	{"uri_8k", in("GET /"+strings.Repeat("a", 8000), "\r\n"), passes, nil},
	{"uri_61k", in("GET /"+strings.Repeat("a", 62000), "\r\n"), largeErr, nil},
	{"hdr_61k", getWith("X-A: " + strings.Repeat("a", 62000) + "\r\n"), largeErr, nil},
	{"hdr_59k", getWith("X-A: " + strings.Repeat("a", 59000) + "\r\n"), passes, nil},
	{"hdr_60k", getWith("X-A: " + strings.Repeat("a", 60<<10-len(getWith("X-A: \r\n"))) + "\r\n"), passes, nil},
	{"hdr_60k_1", getWith("X-A: " + strings.Repeat("a", 60<<10-len(getWith("X-A: \r\n"))+1) + "\r\n"), largeErr, nil},
	{"hdr_100", getWith(numbered(99)), passes, nil},
	{"hdr_101", getWith(numbered(100)), manyErr, nil},
	{"hdr_5000", getWith(numbered(5000)), manyErr, nil},

	// Hop by hop, upgrade, CONNECT.
	{"conn_close_tok", getWith("Connection: close, x-a\r\nx-a: secret\r\n"),
		`head HTTP/1.1 :authority="a" :path="/x" :method="GET" connection="close, x-a"` + "\nend", nil},
	{"conn_tok_te", getWith("Connection: TE, x-b\r\nTE: gzip, trailers\r\nx-b: 1\r\n"), `connection="TE, x-b" te="trailers"` + "\nend", nil},
	{"conn_tok_te_gone", getWith("Connection: te\r\nTE: gzip\r\n"), `connection="te"` + "\nend", nil},
	{"conn_tok_te_big", getWith("Connection: te\r\nTE: " + strings.Repeat("a", 256) + "\r\n"), "error 400 http1.connection_header_rejected", nil},
	{"conn_tok_host", getWith("Connection: host\r\n"), `:path="/x" :method="GET" connection="host"` + "\nend", nil},
	{"conn_tok_authz", getWith("Connection: authorization, x-forwarded-for\r\nAuthorization: z\r\nX-Forwarded-For: 1.2.3.4\r\n"),
		"error 400 http1.connection_header_rejected", nil},
	{"conn_9", getWith("Connection: a,b,c,d,e,f,g,h,i\r\n"), passes, nil},
	{"conn_10", getWith("Connection: a,b,c,d,e,f,g,h,i,j\r\n"), "error 400 http1.connection_header_rejected", nil},
	{"conn_10_two", getWith("Connection: a,b,c,d,e\r\nConnection: f,g,h,i,j\r\n"), "error 400 http1.connection_header_rejected", nil},
	{"conn_pseudo", getWith("Connection: :path\r\n"), "error 400 http1.connection_header_rejected", nil},
	{"conn_two", getWith("Connection: x-a\r\nConnection: close\r\nx-a: 1\r\n"), `connection="x-a,close"` + "\nend", nil},
	{"conn_cl", post("Connection: content-length\r\nContent-Length: 3\r\n\r\nabc"), abc, nil},
	{"expect", post("Expect: 100-continue\r\nContent-Length: 3\r\n\r\n"), `expect="100-continue" content-length="3"`, nil},
	{"upg_h2c", getWith("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAA\r\n"),
		`connection="Upgrade, HTTP2-Settings"` + "\nend", nil},
	{"upg_ws_off", getWith("Connection: Upgrade\r\nUpgrade: websocket\r\n"), `connection="Upgrade" upgrade="websocket"`, nil},
	{"upg_http10", "GET /x HTTP/1.0\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", `connection="Upgrade" upgrade="websocket"`, accept10},
	{"upg_ignored", getWith("Connection: Upgrade, x-y\r\nUpgrade: foo, bar\r\nX-Y: 1\r\n"), `connection="Upgrade, x-y"` + "\nend", ignoreUpgrades},
	{"upg_ignored some", getWith("Connection: Upgrade\r\nUpgrade: foo\r\nUpgrade: websocket, bar\r\n"), `connection="Upgrade" upgrade="websocket"`, ignoreUpgrades},
	{"upg_ignored none", getWith("Connection: Upgrade\r\nUpgrade: FOO\r\n"), `connection="Upgrade" upgrade="FOO"`, ignoreUpgrades},
	{"upg_ignored body", post("Connection: Upgrade\r\nUpgrade: foo\r\nContent-Length: 3\r\n\r\nabc"), abc, ignoreUpgrades},
	{"foo_early_cl", post("Connection: Upgrade\r\nUpgrade: foo\r\nContent-Length: 32\r\n\r\nGET /smug HTTP/1.1\r\nHost: a\r\n\r\n"), bodyErr, nil},
	{"foo_early_te", post("Connection: Upgrade\r\nUpgrade: foo\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), bodyErr, nil},
	{"connect", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\nEARLY", `:authority="a:443" :method="CONNECT"`, nil},
	{"connect_cl", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\nContent-Length: 5\r\n\r\nEARLY", bodyErr, nil},
	{"connect_cl0", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\nContent-Length: 0\r\n\r\n", `:authority="a:443" :method="CONNECT"`, nil},
	{"connect_cl00", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\nContent-Length: 00\r\n\r\n", bodyErr, nil},
	{"connect_te", "CONNECT a:443 HTTP/1.1\r\nHost: b\r\nTransfer-Encoding: chunked\r\n\r\n", codingErr, nil},
	{"connect_path", "CONNECT /x HTTP/1.1\r\nHost: a\r\n\r\n", urlErr, nil},
	{"connect_noport", "CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", urlErr, nil},
	{"connect_badport", "CONNECT a:99999 HTTP/1.1\r\nHost: a\r\n\r\n", urlErr, nil},
	{"connect_user", "CONNECT u@a:443 HTTP/1.1\r\nHost: a\r\n\r\n", urlErr, nil},
	{"connect_v6", "CONNECT [::1]:443 HTTP/1.1\r\nHost: a\r\n\r\n", `:authority="[::1]:443" :method="CONNECT"`, nil},
}

func (h *hostile) serverSettings() Settings {
	s := ServerDefaults()
	if h.settings != nil {
		h.settings(&s)
	}
	return s
}

func TestHostileRequests(t *testing.T) {
	for _, h := range hostileRequests {
		t.Run(h.id, func(t *testing.T) {
			f := newServer(h.serverSettings())
			f.send(h.bytes)
			if got := f.String(); !strings.HasSuffix(got, h.want) {
				t.Errorf("got\n%.300s\nwant %s", got, h.want)
			}
			if (f.err != nil) != strings.Contains(h.want, "error") {
				t.Errorf("Dispatch returned %v", f.err)
			}
		})
	}
}

// The calls are the same however the bytes are cut.
func TestHostileRequestsInPieces(t *testing.T) {
	for _, h := range hostileRequests {
		t.Run(h.id, func(t *testing.T) {
			whole := newServer(h.serverSettings())
			whole.send(h.bytes)
			sizes := []int{1, 2, 3, 7}
			if len(h.bytes) > 4000 {
				sizes = []int{701, 16 << 10}
			}
			for _, size := range sizes {
				pieces := newServer(h.serverSettings())
				for rest := h.bytes; rest != ""; {
					n := min(size, len(rest))
					pieces.send(rest[:n])
					rest = rest[n:]
				}
				if pieces.String() != whole.String() {
					t.Errorf("in pieces of %d:\n%.300s\nwhole:\n%.300s", size, pieces, whole)
				}
			}
			for cut := range min(len(h.bytes), 300) {
				pieces := newServer(h.serverSettings())
				pieces.send(h.bytes[:cut])
				pieces.send(h.bytes[cut:])
				if pieces.String() != whole.String() {
					t.Errorf("cut at %d:\n%.300s\nwhole:\n%.300s", cut, pieces, whole)
				}
			}
		})
	}
}

func TestMethods(t *testing.T) {
	for _, m := range methods {
		if m == "CONNECT" {
			continue
		}
		f := newServer(ServerDefaults())
		f.send(in(m+" /x", "\r\n"))
		if f.err != nil {
			t.Errorf("%s: %v", m, f.err)
		}
	}
	for _, m := range strings.Fields("BASELINE-CONTROL CHECKIN LABEL M-SEARCH UPDATE VERSION-CONTROL GETT GE") {
		f := newServer(ServerDefaults())
		f.send(in(m+" /x", "\r\n"))
		if f.err == nil {
			t.Errorf("%s is accepted", m)
		}
	}
}
