package admin

import (
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/adminhook"
)

// A ListenerStatus describes a listener.
type ListenerStatus struct {
	Name string
	// Addresses are what it listens on, additional addresses last.
	Addresses []address.Address
}

// statusEndpoints show listeners, clusters and certificates.
func (s *Server) statusEndpoints() []adminhook.Endpoint {
	format := adminhook.Param{Name: "format", Help: "How to write it", Options: []string{"text", "json"}}
	return []adminhook.Endpoint{
		{Path: "/listeners", Help: "print the listeners and their addresses", Serve: s.serveListeners, Params: []adminhook.Param{format}},
		{Path: "/clusters", Help: "print the clusters and their hosts", Serve: s.serveClusters, Params: []adminhook.Param{
			{Name: "filter", Help: "Only show clusters whose names match this regular expression (RE2)"}, format,
		}},
		{Path: "/certs", Help: "print the loaded certificates", Serve: s.serveCerts},
	}
}

func (s *Server) serveListeners(w http.ResponseWriter, _ *http.Request, query url.Values) {
	listeners := s.config.Listeners()
	if query.Get("format") == "json" {
		s.writeJSON(w, listenersMessage(listeners))
		return
	}
	var b strings.Builder
	for _, l := range listeners {
		for _, a := range l.Addresses {
			b.WriteString(l.Name + "::" + a.String() + "\n")
		}
	}
	io.WriteString(w, b.String())
}

func listenersMessage(listeners []ListenerStatus) *adminv3.Listeners {
	msg := &adminv3.Listeners{}
	for _, l := range listeners {
		status := &adminv3.ListenerStatus{Name: l.Name}
		for i, a := range l.Addresses {
			if i == 0 {
				status.LocalAddress = AddressMessage(a)
			} else {
				status.AdditionalLocalAddresses = append(status.AdditionalLocalAddresses, AddressMessage(a))
			}
		}
		msg.ListenerStatuses = append(msg.ListenerStatuses, status)
	}
	return msg
}

// AddressMessage is an address as admin shows it.
func AddressMessage(a address.Address) *corev3.Address {
	switch {
	case a.IsUnix():
		return &corev3.Address{Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: a.Path()}}}
	case a.IsInternal():
		return &corev3.Address{Address: &corev3.Address_EnvoyInternalAddress{EnvoyInternalAddress: &corev3.EnvoyInternalAddress{
			AddressNameSpecifier: &corev3.EnvoyInternalAddress_ServerListenerName{ServerListenerName: a.Path()},
			EndpointId:           a.EndpointID(),
		}}}
	}
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address:       a.IP().String(),
		PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(a.Port())},
	}}}
}

func (s *Server) serveClusters(w http.ResponseWriter, _ *http.Request, query url.Values) {
	match := func(string) bool { return true }
	if pattern := query.Get("filter"); pattern != "" {
		var err error
		if match, err = s.config.Regexp(pattern); err != nil {
			fail(w, http.StatusBadRequest, "Invalid re2 regex")
			return
		}
	}
	asJSON := query.Get("format") == "json"
	msg := &adminv3.Clusters{}
	var text []byte
	for _, c := range s.config.Clusters() {
		switch {
		case !match(c.Name):
		case asJSON:
			msg.ClusterStatuses = append(msg.ClusterStatuses, c.message())
		default:
			if _, err := w.Write(c.appendText(text[:0])); err != nil {
				return // the client went away
			}
		}
	}
	if asJSON {
		s.writeJSON(w, msg)
	}
}

func (s *Server) serveCerts(w http.ResponseWriter, _ *http.Request, _ url.Values) {
	certs := &adminv3.Certificates{}
	if s.config.Certificates != nil {
		certs = s.config.Certificates()
	}
	writeFullJSON(w, certs)
}

func formatRate(rate float64) string { return strconv.FormatFloat(rate, 'g', -1, 64) }
