package httpfilter

import "github.com/nuncio-proxy/nuncio/api/httpmsg"

// A MetadataFilter is a terminal filter that wants the METADATA of the client: HTTP/2
// with allow_metadata. It passes other filters by, so it may come before the headers do.
type MetadataFilter interface {
	// DecodeMetadata is called on the stream's worker before the request ends, once for
	// each METADATA. metadata belongs to the filter.
	DecodeMetadata(metadata *httpmsg.Headers)
}

// A MetadataSender is what Callbacks are besides where a client may want METADATA.
type MetadataSender interface {
	// SendResponseMetadata sends METADATA to the client, before the end of the response and
	// maybe before its headers: no filter holds it. It is dropped where the client does not
	// speak HTTP/2 with allow_metadata.
	SendResponseMetadata(metadata *httpmsg.Headers)
}
