package hcm

import (
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/nuncio-proxy/nuncio/api/accesslog"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/headeroption"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/route"
)

const (
	plainText       = "text/plain"
	applicationJSON = "application/json"
)

// localReply rewrites the responses that the proxy makes: the first mapper that
// matches, then the format of the body. It is immutable.
type localReply struct {
	mappers []replyMapper
	body    bodyFormat
}

type replyMapper struct {
	matches accesslog.Filter
	status  int        // 0 keeps it
	body    route.Text // nil keeps it
	headers *headeroption.List
	format  *bodyFormat // nil for that of all replies
}

// A bodyFormat makes the body of a reply from its text.
type bodyFormat struct {
	format      format.Format // nil: the text itself
	contentType string
}

// readLocalReply takes how replies are rewritten.
func (c *config) readLocalReply(m *hcmv3.LocalReplyConfig, ctx extension.HTTPContext, path conf.Path, errs *conf.Errors) {
	if m == nil {
		return
	}
	c.localReply = &localReply{body: newBodyFormat(m.GetBodyFormat(), ctx.Formats, path.Field("body_format"), errs)}
	for i, mapper := range m.GetMappers() {
		at := path.Field("mappers").Index(i)
		r := replyMapper{
			status:  int(mapper.GetStatusCode().GetValue()),
			headers: headeroption.NewList(mapper.GetHeadersToAdd(), nil, ctx.Formats, at.Field("headers_to_add"), at, errs),
		}
		if mapper.GetFilter() == nil {
			errs.Add(at.Field("filter"), "must be set")
		} else {
			r.matches = ctx.AccessLogs.BuildFilter(mapper.GetFilter(), at.Field("filter"), errs)
		}
		if st := mapper.GetStatusCode(); st != nil && (st.GetValue() < 200 || st.GetValue() >= 600) {
			errs.Add(at.Field("status_code"), "must be from 200 to 599")
		}
		if mapper.GetBody() != nil {
			r.body = extension.NewDataSource(mapper.GetBody(), 0, ctx.Context, at.Field("body"), errs)
		}
		if mapper.GetBodyFormatOverride() != nil {
			f := newBodyFormat(mapper.GetBodyFormatOverride(), ctx.Formats, at.Field("body_format_override"), errs)
			r.format = &f
		}
		c.localReply.mappers = append(c.localReply.mappers, r)
	}
}

func newBodyFormat(m *corev3.SubstitutionFormatString, formats format.Compiler, path conf.Path, errs *conf.Errors) bodyFormat {
	if m == nil {
		return bodyFormat{contentType: plainText}
	}
	b := bodyFormat{format: formats.FromProto(m, path, errs), contentType: m.GetContentType()}
	switch {
	case b.contentType != "":
	case m.GetJsonFormat() != nil:
		b.contentType = applicationJSON
	default:
		b.contentType = plainText
	}
	return b
}

// A reply is a response as the proxy makes it.
type reply struct {
	status      int
	body        string
	contentType string // of the body, unless the headers have one
}

// rewrite changes the reply to s, whose headers are h.
func (l *localReply) rewrite(s *stream, h *httpmsg.Headers, r *reply) {
	s.response.Headers = h
	body := &l.body
	for i := range l.mappers {
		m := &l.mappers[i]
		e := s.entryFor(format.NotSet)
		e.LocalReplyBody = r.body
		if !m.matches(e) {
			continue
		}
		m.headers.MutateHeaders(h, e)
		if m.body != nil {
			r.body = m.body.Text()
		}
		if m.status != 0 {
			r.status, s.info.ResponseCode = m.status, m.status
			h.SetStatusCode(m.status)
		}
		if m.format != nil {
			body = m.format
		}
		break
	}
	r.contentType = body.contentType
	if body.format != nil {
		e := s.entryFor(format.NotSet)
		e.LocalReplyBody = r.body
		r.body = string(body.format.Append(nil, e))
	}
}

// grpcText is the body as a value of grpc-message.
func (r *reply) grpcText() string {
	if r.contentType == applicationJSON {
		return strings.TrimSuffix(r.body, "\n")
	}
	return r.body
}
