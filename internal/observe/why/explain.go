package why

import (
	"fmt"
	"strings"
	"time"

	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// An explanation is an answer as it is shown. JSON leaves out what is not known.
type explanation struct {
	Time       string             `json:"time"`
	RequestID  string             `json:"request_id,omitempty"`
	Method     string             `json:"method,omitempty"`
	Authority  string             `json:"authority,omitempty"`
	Path       string             `json:"path,omitempty"`
	Status     int                `json:"status"` // 0: none was sent
	Flags      string             `json:"flags"`
	Details    string             `json:"details"`
	Body       string             `json:"body,omitempty"`
	DurationMs int64              `json:"duration_ms"`
	Listener   string             `json:"listener,omitempty"`
	Chain      string             `json:"filter_chain,omitempty"`
	Client     string             `json:"client"`
	Connection string             `json:"connection,omitempty"`
	Routing    *route.Explanation `json:"routing,omitempty"`
	Route      string             `json:"route,omitempty"`
	Cluster    string             `json:"cluster,omitempty"`
	Failure    string             `json:"transport_failure,omitempty"`
	Attempts   []attempt          `json:"attempts,omitempty"`
}

// An attempt is a streaminfo.Attempt as it is shown.
type attempt struct {
	Cluster      string `json:"cluster,omitempty"`
	Host         string `json:"host,omitempty"`
	Hostname     string `json:"hostname,omitempty"`
	ConnectionID uint64 `json:"connection_id,omitempty"`
	Reused       bool   `json:"connection_reused,omitempty"`
	DurationMs   int64  `json:"duration_ms"`
	Outcome      string `json:"outcome"`
	Failure      string `json:"transport_failure,omitempty"`
	Status       int    `json:"status,omitempty"`
	Next         string `json:"next,omitempty"`
}

func (e *entry) explain() *explanation {
	s, c := &e.stream, &e.connection
	x := &explanation{
		Time:      s.End.UTC().Format("2006-01-02T15:04:05.000Z"),
		RequestID: s.RequestID, Status: s.ResponseCode, Flags: string(s.Flags.Append(nil)), Details: s.ResponseDetails,
		Body: e.body, DurationMs: s.End.Sub(s.Start).Milliseconds(),
		Chain: c.FilterChainName, Client: c.Remote.String(), Connection: e.fate,
		Route: s.RouteName, Cluster: s.Upstream.ClusterRaw, Failure: s.Upstream.FailureReason,
	}
	if c.Listener != nil {
		x.Listener = c.Listener.Name
	}
	if e.reason != "" {
		x.Connection += ": " + e.reason
	}
	if e.hasRequest {
		e.restore()
		x.Method = e.request.Get(httpmsg.Method)
		x.Authority, x.Path = e.request.Get(httpmsg.Authority), e.request.Get(httpmsg.Path)
		if e.routes != nil {
			x.Routing = e.routes.Explain(&e.request, s, e.random)
		}
	}
	for i := range s.Failed {
		x.Attempts = append(x.Attempts, newAttempt(&s.Failed[i]))
	}
	return x
}

// restore takes back what the route rewrote, so that its matchers see what they saw.
func (e *entry) restore() {
	for _, id := range [...][2]httpmsg.ID{
		{httpmsg.XEnvoyOriginalPath, httpmsg.Path}, {httpmsg.XEnvoyOriginalHost, httpmsg.Authority},
	} {
		if original := e.request.Get(id[0]); original != "" {
			e.request.Set(id[1], original)
		}
	}
}

func newAttempt(a *streaminfo.Attempt) attempt {
	out := attempt{
		Cluster: a.Cluster, Hostname: a.Hostname, ConnectionID: a.ConnectionID, Reused: a.Reused,
		DurationMs: a.End.Sub(a.Start).Milliseconds(), Outcome: a.Outcome, Failure: a.TransportFailure, Status: a.Status, Next: a.Next,
	}
	if a.Host.IsValid() {
		out.Host = a.Host.String()
	}
	return out
}

// headline is the answer in one sentence.
func (x *explanation) headline() string {
	var b strings.Builder
	if x.Method != "" {
		fmt.Fprintf(&b, "%s %s%s", x.Method, x.Authority, x.Path)
	} else {
		b.WriteString("a request that was not understood")
	}
	if x.Status == 0 {
		b.WriteString(" got no response")
	} else {
		fmt.Fprintf(&b, " got %d", x.Status)
	}
	fmt.Fprintf(&b, ": %s", x.Details)
	if x.Flags != "-" {
		fmt.Fprintf(&b, " (%s)", x.Flags)
	}
	return b.String()
}

// facts are the reasons, each with a heading; those with an empty heading belong to
// the one before.
func (x *explanation) facts() (facts [][2]string) {
	add := func(heading, format string, args ...any) {
		facts = append(facts, [2]string{heading, fmt.Sprintf(format, args...)})
	}
	where := x.Listener
	if x.Chain != "" {
		where += ", filter chain " + x.Chain
	}
	add("client", "%s on listener %s", x.Client, where)
	if x.RequestID != "" {
		add("request id", "%s", x.RequestID)
	}
	if x.Routing != nil {
		for i, line := range x.Routing.Lines() {
			add(only(i == 0, "routing"), "%s", line)
		}
	}
	if x.Cluster != "" {
		add("cluster", "%s", x.Cluster)
	}
	for i, a := range x.Attempts {
		add(only(i == 0, "attempts"), "%s", a.text())
	}
	if x.Failure != "" {
		add("upstream", "%s", x.Failure)
	}
	if x.Body != "" {
		add("answer", "%s", strings.ReplaceAll(x.Body, "\n", `\n`))
	}
	if x.Connection != "" {
		add("connection", "%s", x.Connection)
	}
	return facts
}

func only(show bool, heading string) string {
	if show {
		return heading
	}
	return ""
}

func (a *attempt) text() string {
	var b strings.Builder
	switch {
	case a.Host == "":
		b.WriteString("no host: ")
	case a.Hostname != "":
		fmt.Fprintf(&b, "%s (%s): ", a.Host, a.Hostname)
	default:
		b.WriteString(a.Host + ": ")
	}
	b.WriteString(a.Outcome)
	if a.Status != 0 {
		fmt.Fprintf(&b, " %d", a.Status)
	}
	if a.Failure != "" {
		fmt.Fprintf(&b, ", %s", a.Failure)
	}
	fmt.Fprintf(&b, ", after %v", time.Duration(a.DurationMs)*time.Millisecond)
	if a.ConnectionID != 0 {
		kind := "a new"
		if a.Reused {
			kind = "a reused"
		}
		fmt.Fprintf(&b, " on %s connection", kind)
	}
	if a.Next != "" {
		b.WriteString("; " + a.Next)
	}
	return b.String()
}

// text is the answer over several lines.
func (x *explanation) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", x.Time, x.headline())
	for _, f := range x.facts() {
		fmt.Fprintf(&b, "  %-10s  %s\n", f[0], f[1])
	}
	return b.String()
}

// line is the answer in one line.
func (x *explanation) line() string {
	var b strings.Builder
	b.WriteString("why: " + x.headline())
	for _, f := range x.facts() {
		if f[0] == "" {
			b.WriteString(", then " + f[1])
		} else {
			fmt.Fprintf(&b, "; %s: %s", f[0], f[1])
		}
	}
	return b.String()
}
