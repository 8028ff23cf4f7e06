// Command nuncio is an L4/L7 proxy that runs Envoy's configuration. A program
// with extensions of its own is this file with a longer list.
package main

import (
	"github.com/nuncio-proxy/nuncio/extensions/all"
	"github.com/nuncio-proxy/nuncio/proxymain"
)

func main() { proxymain.Main(all.Factories()...) }
