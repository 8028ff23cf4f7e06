package format

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// A point is a moment in the life of a stream; zero if it did not come.
type point func(*format.Entry) time.Time

// utcPattern prints times of UTC.
const utcPattern = "%Y-%m-%dT%H:%M:%E3SZ"

// durations adds the times of a stream and what lies between them.
func (t table) durations() {
	start := func(e *format.Entry) time.Time { return e.Stream.Start }
	now := func(e *format.Entry) time.Time { return e.Now }
	const local = "%Y-%m-%dT%H:%M:%E3S%z"
	t.time("START_TIME", utcPattern, start, time.UTC)
	t.time("START_TIME_LOCAL", local, start, time.Local)
	t.time("EMIT_TIME", utcPattern, now, time.UTC)
	t.time("EMIT_TIME_LOCAL", local, now, time.Local)

	end := func(e *format.Entry) time.Time {
		if e.Stream.End.IsZero() {
			return e.Now
		}
		return e.Stream.End
	}
	upstream := func(get func(*streaminfo.Upstream) time.Time) point {
		return func(e *format.Entry) time.Time { return get(&e.Stream.Upstream) }
	}
	received := func(e *format.Entry) time.Time { return e.Stream.LastRxByte }
	sent := func(e *format.Entry) time.Time { return e.Stream.LastTxByte }
	forwarded := upstream(func(u *streaminfo.Upstream) time.Time { return u.LastTxByte })
	answered := upstream(func(u *streaminfo.Upstream) time.Time { return u.FirstRxByte })
	ready := upstream(func(u *streaminfo.Upstream) time.Time { return u.PoolReady })
	t.add("DURATION", between(start, end, time.Millisecond))
	t.add("REQUEST_DURATION", between(start, received, time.Millisecond))
	t.add("REQUEST_TX_DURATION", between(start, forwarded, time.Millisecond))
	t.add("RESPONSE_DURATION", between(start, answered, time.Millisecond))
	t.add("RESPONSE_TX_DURATION", between(answered, sent, time.Millisecond))
	t.add("UPSTREAM_CONNECTION_POOL_READY_DURATION", between(start, ready, time.Millisecond))

	points := map[string]point{
		"DS_CX_BEG": func(e *format.Entry) time.Time { return connection(e.Stream).Accepted },
		"DS_CX_END": func(e *format.Entry) time.Time { // also of a request whose client went away
			if e.Type != format.TcpConnectionEnd && e.Stream.Flags&streaminfo.DownstreamConnectionTermination == 0 {
				return time.Time{}
			}
			return e.Stream.End
		},
		"DS_HS_BEG":      handshake(downstreamTLS).start,
		"DS_HS_END":      handshake(downstreamTLS).end,
		"US_HS_END":      handshake(upstreamTLS).end,
		"DS_RX_BEG":      start,
		"DS_RX_HDR_END":  func(e *format.Entry) time.Time { return e.Stream.RxHeadersEnd },
		"DS_RX_END":      received,
		"US_CX_BEG":      upstream(func(u *streaminfo.Upstream) time.Time { return u.ConnectStart }),
		"US_CX_END":      upstream(connected),
		"US_TX_BEG":      upstream(func(u *streaminfo.Upstream) time.Time { return u.FirstTxByte }),
		"US_TX_END":      forwarded,
		"US_RX_BEG":      answered,
		"US_RX_BODY_BEG": upstream(func(u *streaminfo.Upstream) time.Time { return u.FirstBodyByte }),
		"US_RX_END":      upstream(func(u *streaminfo.Upstream) time.Time { return u.LastRxByte }),
		"DS_TX_BEG":      func(e *format.Entry) time.Time { return e.Stream.FirstTxByte },
		"DS_TX_END":      sent,
	}
	t["COMMON_DURATION"] = spec{args: requiredArgs, build: func(_ *Compiler, arg string) (operator, error) {
		return buildCommonDuration(points, arg)
	}}
}

// buildCommonDuration is COMMON_DURATION(FROM:TO:ms|us|ns). A point that Envoy does
// not define is one that a filter would set; none does, so that the value is missing.
func buildCommonDuration(points map[string]point, arg string) (operator, error) {
	parts := strings.Split(arg, ":")
	if len(parts) < 2 || len(parts) > 3 {
		return nil, fmt.Errorf("Invalid common duration configuration: %s.", arg)
	}
	unit := time.Millisecond
	if len(parts) == 3 {
		switch parts[2] {
		case "ms":
		case "us":
			unit = time.Microsecond
		case "ns":
			unit = time.Nanosecond
		default:
			return nil, fmt.Errorf("Invalid common duration precision: %s.", parts[2])
		}
	}
	from, to := points[parts[0]], points[parts[1]]
	if from == nil || to == nil {
		return func(dst []byte, _ *format.Entry) ([]byte, kind) { return dst, missing }, nil
	}
	return between(from, to, unit), nil
}

// between prints the whole units from one point to another; it is missing if one of
// them is, or if they came in the other order.
func between(from, to point, unit time.Duration) operator {
	return func(dst []byte, e *format.Entry) ([]byte, kind) {
		a, b := from(e), to(e)
		if a.IsZero() || b.IsZero() || b.Before(a) {
			return dst, missing
		}
		return strconv.AppendInt(dst, int64(b.Sub(a)/unit), 10), literal
	}
}

// time adds an operator that prints a point with an optional strftime pattern.
func (t table) time(name, defaultPattern string, at point, zone *time.Location) {
	t[name] = spec{args: optionalArgs, build: func(_ *Compiler, pattern string) (operator, error) {
		if pattern == "" {
			pattern = defaultPattern
		}
		parts, err := compileTime(pattern)
		if err != nil {
			return nil, err
		}
		return func(dst []byte, e *format.Entry) ([]byte, kind) {
			return appendTime(dst, at(e).In(zone), parts), text
		}, nil
	}}
}
