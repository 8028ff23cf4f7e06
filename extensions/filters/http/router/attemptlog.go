package router

import (
	"time"

	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// maxFailed bounds how many failed attempts of a request are remembered: the last
// one is always among them.
const maxFailed = 32

// A decision is whether a request is sent again. The zero value says that nobody
// asked for that.
type decision struct {
	again   bool
	after   time.Duration // the back-off, with again
	refused bool          // it should be sent again and may not
	why     string        // it is not
}

// String is Next of a streaminfo.Attempt.
func (d decision) String() string {
	if d.again {
		return "retried after " + d.after.String()
	}
	return d.why
}

// noRetries is the decision about a request that is not sent again whatever happens.
func (f *filter) noRetries() decision {
	switch {
	case f.responseStarted:
		return decision{why: "the response has begun"}
	case f.bodyLost:
		return decision{why: "the body is too large to be sent again"}
	default:
		return decision{why: "no retry is configured for it"}
	}
}

// failed adds an attempt to those that brought no response for the client. Only a
// request that had such an attempt pays for it.
func (f *filter) failed(u *upstreamRequest, outcome string, d decision) {
	a := streaminfo.Attempt{
		Cluster: u.up.ClusterRaw, Host: u.up.Host, Hostname: u.up.Hostname, ConnectionID: u.up.ConnectionID, Reused: u.reused,
		Start: u.started, End: f.d.Now(), Outcome: outcome, TransportFailure: u.up.FailureReason, Next: d.String(),
	}
	if u.gotHeaders && !f.responseStarted {
		a.Status = u.status
	}
	if f.info.Failed == nil {
		f.info.Failed = make([]streaminfo.Attempt, 0, 2)
	}
	if len(f.info.Failed) == maxFailed {
		f.info.Failed = f.info.Failed[:maxFailed-1]
	}
	f.info.Failed = append(f.info.Failed, a)
}
