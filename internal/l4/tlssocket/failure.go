package tlssocket

import (
	"crypto/tls"
	"errors"
	"net"
	"strconv"
	"strings"
)

// libSSL is what the numbers of BoringSSL's errors begin with; alerts have alertReason
// added.
const (
	libSSL      = 16 << 24
	alertReason = 1000
)

// A reason is an error that BoringSSL has.
type reason struct {
	code int
	name string
}

var (
	decodeError       = reason{137, "DECODE_ERROR"}
	httpRequest       = reason{156, "HTTP_REQUEST"}
	httpsProxyRequest = reason{155, "HTTPS_PROXY_REQUEST"}
	noCertificate     = reason{192, "PEER_DID_NOT_RETURN_A_CERTIFICATE"}
	unexpectedMessage = reason{223, "UNEXPECTED_MESSAGE"}
	verifyFailed      = reason{125, "CERTIFICATE_VERIFY_FAILED"}
	wrongVersion      = reason{247, "WRONG_VERSION_NUMBER"}
)

// noCertificateDetail is what Envoy adds to noCertificate.
const noCertificateDetail = "peer did not provide required client certificate"

// texts are the beginnings of crypto/tls's errors that have no type, without "tls: ",
// and what BoringSSL says instead.
var texts = []struct {
	text string
	reason
}{
	{"client didn't provide a certificate", noCertificate},
	{"no cipher suite supported by both client and server", reason{184, "NO_SHARED_CIPHER"}},
	{"client offered only unsupported versions", reason{240, "UNSUPPORTED_PROTOCOL"}},
	{"server selected unsupported protocol version", reason{240, "UNSUPPORTED_PROTOCOL"}},
	{"no ECDHE curve supported by both client and server", reason{266, "NO_SHARED_GROUP"}},
	{"no supported elliptic curves offered", reason{266, "NO_SHARED_GROUP"}},
	{"peer doesn't support any of the certificate's signature algorithms", reason{253, "NO_COMMON_SIGNATURE_ALGORITHMS"}},
	{"client using inappropriate protocol fallback", reason{157, "INAPPROPRIATE_FALLBACK"}},
	{"invalid signature by the", reason{114, "BAD_SIGNATURE"}},
	{"server selected unadvertised ALPN protocol", reason{259, "INVALID_ALPN_PROTOCOL"}},
	{"server sent unexpected ALPN", reason{259, "INVALID_ALPN_PROTOCOL"}},
	{"received unexpected handshake message", unexpectedMessage},
	{"too many non-advancing records", reason{260, "TOO_MANY_KEY_UPDATES"}},
	{"handshake message of length", reason{150, "EXCESSIVE_MESSAGE_SIZE"}},
	{"no certificates configured", reason{174, "NO_CERTIFICATE_SET"}},
	{"failed to parse certificate", reason{137, "DECODE_ERROR"}},
}

// sent are the errors that crypto/tls tells by an alert only, by alert.
var sent = map[int]reason{
	10: unexpectedMessage,
	20: {139, "DECRYPTION_FAILED_OR_BAD_RECORD_MAC"},
	22: {146, "ENCRYPTED_LENGTH_TOO_LONG"},
	50: decodeError,
	51: {142, "DIGEST_CHECK_FAILED"},
}

// received are the names of the alerts that a peer sends.
var received = map[int]string{
	0: "SSLV3_ALERT_CLOSE_NOTIFY", 10: "SSLV3_ALERT_UNEXPECTED_MESSAGE", 20: "SSLV3_ALERT_BAD_RECORD_MAC",
	21: "TLSV1_ALERT_DECRYPTION_FAILED", 22: "TLSV1_ALERT_RECORD_OVERFLOW", 30: "SSLV3_ALERT_DECOMPRESSION_FAILURE",
	40: "SSLV3_ALERT_HANDSHAKE_FAILURE", 41: "SSLV3_ALERT_NO_CERTIFICATE", 42: "SSLV3_ALERT_BAD_CERTIFICATE",
	43: "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE", 44: "SSLV3_ALERT_CERTIFICATE_REVOKED", 45: "SSLV3_ALERT_CERTIFICATE_EXPIRED",
	46: "SSLV3_ALERT_CERTIFICATE_UNKNOWN", 47: "SSLV3_ALERT_ILLEGAL_PARAMETER", 48: "TLSV1_ALERT_UNKNOWN_CA",
	49: "TLSV1_ALERT_ACCESS_DENIED", 50: "TLSV1_ALERT_DECODE_ERROR", 51: "TLSV1_ALERT_DECRYPT_ERROR",
	60: "TLSV1_ALERT_EXPORT_RESTRICTION", 70: "TLSV1_ALERT_PROTOCOL_VERSION", 71: "TLSV1_ALERT_INSUFFICIENT_SECURITY",
	80: "TLSV1_ALERT_INTERNAL_ERROR", 86: "TLSV1_ALERT_INAPPROPRIATE_FALLBACK", 90: "TLSV1_ALERT_USER_CANCELLED",
	100: "TLSV1_ALERT_NO_RENEGOTIATION", 110: "TLSV1_ALERT_UNSUPPORTED_EXTENSION", 111: "TLSV1_ALERT_CERTIFICATE_UNOBTAINABLE",
	112: "TLSV1_ALERT_UNRECOGNIZED_NAME", 113: "TLSV1_ALERT_BAD_CERTIFICATE_STATUS_RESPONSE",
	114: "TLSV1_ALERT_BAD_CERTIFICATE_HASH_VALUE", 115: "TLSV1_ALERT_UNKNOWN_PSK_IDENTITY", 116: "TLSV1_ALERT_CERTIFICATE_REQUIRED",
	120: "TLSV1_ALERT_NO_APPLICATION_PROTOCOL", 121: "TLSV1_ALERT_ECH_REQUIRED",
}

// Failure says what err, of crypto/tls, is in the words of Envoy and BoringSSL. An error
// that BoringSSL does not have keeps its own.
func Failure(err error) string {
	r, detail := explain(err)
	words := []string{"TLS_error:|" + strconv.Itoa(libSSL+r.code), "SSL routines", "OPENSSL_internal", r.name}
	if detail != "" {
		words = append(words, detail)
	}
	return strings.Join(append(words, "TLS_error_end"), ":")
}

func explain(err error) (r reason, detail string) {
	var verify *VerifyError
	var chain *tls.CertificateVerificationError
	var header tls.RecordHeaderError
	var alert *net.OpError
	switch {
	case errors.As(err, &verify):
		return verifyFailed, verify.Detail
	case errors.As(err, &chain):
		return verifyFailed, "verify cert failed: " + chain.Err.Error()
	case errors.As(err, &header):
		return headerReason(header), ""
	case errors.As(err, &alert) && strings.HasSuffix(alert.Op, " error"):
		return alertError(alert), ""
	}
	text := strings.TrimPrefix(err.Error(), "tls: ")
	for _, t := range texts {
		if strings.HasPrefix(text, t.text) {
			if t.reason == noCertificate {
				detail = noCertificateDetail
			}
			return t.reason, detail
		}
	}
	return reason{0, text}, ""
}

// headerReason looks at what came instead of a record.
func headerReason(err tls.RecordHeaderError) reason {
	switch start := string(err.RecordHeader[:]); {
	case start == "CONNE":
		return httpsProxyRequest
	case strings.HasPrefix(start, "GET "), start == "POST ", start == "HEAD ", strings.HasPrefix(start, "PUT "):
		return httpRequest
	case strings.HasPrefix(err.Msg, "oversized"):
		return sent[22]
	}
	return wrongVersion
}

// alertError is the reason of an alert that was received or, "local error", sent.
func alertError(err *net.OpError) reason {
	number := alertNumber(err.Err)
	if err.Op == "remote error" {
		if name, ok := received[number]; ok {
			return reason{alertReason + number, name}
		}
		return reason{alertReason + number, "unknown error"}
	}
	if r, ok := sent[number]; ok {
		return r
	}
	return reason{0, strings.TrimPrefix(err.Err.Error(), "tls: ")}
}

// alertNumber returns the number of an alert, whose type crypto/tls does not show: it
// shows another one that has the same text.
func alertNumber(err error) int {
	text := err.Error()
	for n := range 256 {
		if tls.AlertError(n).Error() == text {
			return n
		}
	}
	return -1
}
