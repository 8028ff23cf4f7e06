// Package all lists the extensions that the standard program has.
package all

import (
	"slices"

	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/extensions/accessloggers/file"
	celfilter "github.com/nuncio-proxy/nuncio/extensions/accessloggers/filters/cel"
	"github.com/nuncio-proxy/nuncio/extensions/accessloggers/httpgrpc"
	"github.com/nuncio-proxy/nuncio/extensions/accessloggers/stream"
	"github.com/nuncio-proxy/nuncio/extensions/accessloggers/tcpgrpc"
	clustermatcher "github.com/nuncio-proxy/nuncio/extensions/clusterspecifiers/matcher"
	"github.com/nuncio-proxy/nuncio/extensions/clusterspecifiers/prioritygroup"
	earlyheadermutation "github.com/nuncio-proxy/nuncio/extensions/earlyheadermutation/headermutation"
	"github.com/nuncio-proxy/nuncio/extensions/filters/http/acme"
	"github.com/nuncio-proxy/nuncio/extensions/filters/http/buffer"
	"github.com/nuncio-proxy/nuncio/extensions/filters/http/cors"
	"github.com/nuncio-proxy/nuncio/extensions/filters/http/fault"
	"github.com/nuncio-proxy/nuncio/extensions/filters/http/grpchttp1bridge"
	"github.com/nuncio-proxy/nuncio/extensions/filters/http/grpchttp1reversebridge"
	"github.com/nuncio-proxy/nuncio/extensions/filters/http/grpcjsontranscoder"
	"github.com/nuncio-proxy/nuncio/extensions/filters/http/grpcstats"
	"github.com/nuncio-proxy/nuncio/extensions/filters/http/grpcweb"
	"github.com/nuncio-proxy/nuncio/extensions/filters/http/headermutation"
	"github.com/nuncio-proxy/nuncio/extensions/filters/http/healthcheck"
	httplocalratelimit "github.com/nuncio-proxy/nuncio/extensions/filters/http/localratelimit"
	"github.com/nuncio-proxy/nuncio/extensions/filters/http/matchdelegate"
	"github.com/nuncio-proxy/nuncio/extensions/filters/http/router"
	httpsetfilterstate "github.com/nuncio-proxy/nuncio/extensions/filters/http/setfilterstate"
	"github.com/nuncio-proxy/nuncio/extensions/filters/http/setmetadata"
	"github.com/nuncio-proxy/nuncio/extensions/filters/listener/httpinspector"
	listenerlocalratelimit "github.com/nuncio-proxy/nuncio/extensions/filters/listener/localratelimit"
	"github.com/nuncio-proxy/nuncio/extensions/filters/listener/originaldst"
	"github.com/nuncio-proxy/nuncio/extensions/filters/listener/originalsrc"
	"github.com/nuncio-proxy/nuncio/extensions/filters/listener/proxyprotocol"
	listenersetfilterstate "github.com/nuncio-proxy/nuncio/extensions/filters/listener/setfilterstate"
	"github.com/nuncio-proxy/nuncio/extensions/filters/listener/tlsinspector"
	"github.com/nuncio-proxy/nuncio/extensions/filters/network/connectionlimit"
	"github.com/nuncio-proxy/nuncio/extensions/filters/network/directresponse"
	"github.com/nuncio-proxy/nuncio/extensions/filters/network/echo"
	"github.com/nuncio-proxy/nuncio/extensions/filters/network/localratelimit"
	"github.com/nuncio-proxy/nuncio/extensions/filters/network/setfilterstate"
	"github.com/nuncio-proxy/nuncio/extensions/filters/network/tcpproxy"
	"github.com/nuncio-proxy/nuncio/extensions/formatters/cel"
	"github.com/nuncio-proxy/nuncio/extensions/formatters/filecontent"
	"github.com/nuncio-proxy/nuncio/extensions/formatters/genericsecret"
	"github.com/nuncio-proxy/nuncio/extensions/formatters/metadata"
	"github.com/nuncio-proxy/nuncio/extensions/formatters/reqwithoutquery"
	"github.com/nuncio-proxy/nuncio/extensions/headerformatters/preservecase"
	"github.com/nuncio-proxy/nuncio/extensions/internalredirect/allowlistedroutes"
	"github.com/nuncio-proxy/nuncio/extensions/internalredirect/filterstate"
	"github.com/nuncio-proxy/nuncio/extensions/internalredirect/previousroutes"
	"github.com/nuncio-proxy/nuncio/extensions/internalredirect/safecrossscheme"
	matchingcel "github.com/nuncio-proxy/nuncio/extensions/matching/cel"
	"github.com/nuncio-proxy/nuncio/extensions/matching/consistenthashing"
	"github.com/nuncio-proxy/nuncio/extensions/matching/domain"
	"github.com/nuncio-proxy/nuncio/extensions/matching/environmentvariable"
	"github.com/nuncio-proxy/nuncio/extensions/matching/httpinputs"
	"github.com/nuncio-proxy/nuncio/extensions/matching/ip"
	"github.com/nuncio-proxy/nuncio/extensions/matching/iprange"
	"github.com/nuncio-proxy/nuncio/extensions/matching/networkinputs"
	"github.com/nuncio-proxy/nuncio/extensions/matching/runtimefraction"
	"github.com/nuncio-proxy/nuncio/extensions/originalipdetection/customheader"
	"github.com/nuncio-proxy/nuncio/extensions/originalipdetection/xff"
	pathmatch "github.com/nuncio-proxy/nuncio/extensions/path/match/uritemplate"
	pathrewrite "github.com/nuncio-proxy/nuncio/extensions/path/rewrite/uritemplate"
	"github.com/nuncio-proxy/nuncio/extensions/ratelimitdescriptors/expr"
	"github.com/nuncio-proxy/nuncio/extensions/requestid/uuid"
	"github.com/nuncio-proxy/nuncio/extensions/retry/host/omitcanaryhosts"
	"github.com/nuncio-proxy/nuncio/extensions/retry/host/omithostmetadata"
	"github.com/nuncio-proxy/nuncio/extensions/retry/host/previoushosts"
	"github.com/nuncio-proxy/nuncio/extensions/retry/priority/previouspriorities"
	"github.com/nuncio-proxy/nuncio/extensions/transportsockets/http11proxy"
	"github.com/nuncio-proxy/nuncio/extensions/transportsockets/internalupstream"
	proxyprotocolsocket "github.com/nuncio-proxy/nuncio/extensions/transportsockets/proxyprotocol"
	"github.com/nuncio-proxy/nuncio/extensions/transportsockets/rawbuffer"
	"github.com/nuncio-proxy/nuncio/extensions/transportsockets/starttls"
)

// Factories returns a factory of each extension, for proxymain.Main.
func Factories() []extension.Factory {
	return slices.Concat([]extension.Factory{
		celfilter.Factory{},
		file.Factory{},
		httpgrpc.Factory{},
		stream.Stderr{},
		stream.Stdout{},
		tcpgrpc.Factory{},

		clustermatcher.Factory{},
		prioritygroup.Factory{},

		allowlistedroutes.Factory{},
		filterstate.Factory{},
		previousroutes.Factory{},
		safecrossscheme.Factory{},

		omitcanaryhosts.Factory{},
		omithostmetadata.Factory{},
		previoushosts.Factory{},
		previouspriorities.Factory{},

		cel.Factory{},
		metadata.Factory{},
		filecontent.Factory{},
		genericsecret.Factory{},
		reqwithoutquery.Factory{},

		customheader.Factory{},
		earlyheadermutation.Factory{},
		uuid.Factory{},
		xff.Factory{},

		acme.Factory{},
		buffer.Factory{},
		cors.Factory{},
		fault.Factory{},
		grpchttp1bridge.Factory{},
		grpchttp1reversebridge.Factory{},
		grpcjsontranscoder.Factory{},
		grpcstats.Factory{},
		grpcweb.Factory{},
		headermutation.Factory{},
		healthcheck.Factory{},
		httplocalratelimit.Factory{},
		matchdelegate.Factory{},
		router.Factory{},
		httpsetfilterstate.Factory{},
		setmetadata.Factory{},

		httpinspector.Factory{},
		listenerlocalratelimit.Factory{},
		originaldst.Factory{},
		originalsrc.Factory{},
		proxyprotocol.Factory{},
		listenersetfilterstate.Factory{},
		tlsinspector.Factory{},

		connectionlimit.Factory{},
		directresponse.Factory{},
		echo.Factory{},
		localratelimit.NewFactory(),
		setfilterstate.Factory{},
		tcpproxy.Factory{},

		preservecase.Factory{},

		consistenthashing.Factory{},
		domain.Factory{},
		environmentvariable.Factory{},
		ip.Factory{},
		iprange.Factory{},
		matchingcel.Input{},
		matchingcel.Matcher{},
		runtimefraction.Factory{},

		expr.Factory{},

		pathmatch.Factory{},
		pathrewrite.Factory{},

		http11proxy.Factory{},
		internalupstream.Factory{},
		proxyprotocolsocket.Factory{},
		rawbuffer.Downstream{},
		rawbuffer.Upstream{},
		starttls.Downstream{},
		starttls.Upstream{},
	}, httpinputs.Factories(), networkinputs.Factories())
}
