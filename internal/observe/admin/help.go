package admin

import (
	"bytes"
	"html/template"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/nuncio-proxy/nuncio/api/adminhook"
)

// helpText lists the endpoints and their parameters.
func helpText(endpoints []adminhook.Endpoint) string {
	var b strings.Builder
	b.WriteString("admin commands are:\n")
	for _, e := range endpoints {
		b.WriteString("  " + e.Path)
		if e.Mutates {
			b.WriteString(" (POST)")
		}
		b.WriteString(": " + e.Help + "\n")
		for _, p := range e.Params {
			b.WriteString("      " + p.Name + ": " + p.Help)
			if len(p.Options) > 0 {
				b.WriteString("; One of (" + strings.Join(p.Options, ", ") + ")")
			}
			b.WriteByte('\n')
		}
	}
	return b.String()
}

func (s *Server) serveHelp(w http.ResponseWriter, _ *http.Request, _ url.Values) {
	io.WriteString(w, s.help)
}

const indexTemplate = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>nuncio admin</title>
<style>
body { font: 15px/1.4 system-ui, sans-serif; color: #222; margin: 2em auto; max-width: 60em; padding: 0 1em; }
form { display: grid; grid-template-columns: 15em 1fr; gap: 2px 1em; padding: 8px; border-top: 1px solid #ddd; margin: 0; }
form:nth-of-type(even) { background: #f7f7f7; }
a, button { justify-self: start; font: inherit; }
a, button.read { color: #0645ad; background: none; border: 0; padding: 0; text-decoration: underline; cursor: pointer; }
button.change { border: 1px solid #999; border-radius: 4px; padding: 1px 8px; background: #fff; cursor: pointer; }
label { color: #555; }
input[type=text], select { width: 100%; box-sizing: border-box; }
</style>
</head>
<body>
<h1>nuncio admin</h1>
{{range .}}<form action="{{.Path}}" method="{{if .Mutates}}post{{else}}get{{end}}">
{{if .Mutates}}<button class="change">{{.Path}}</button>{{else if .Params}}<button class="read">{{.Path}}</button>{{else}}<a href="{{.Path}}">{{.Path}}</a>{{end}}
<span>{{.Help}}</span>
{{range .Params}}{{if .Flag}}<span><input type="checkbox" name="{{.Name}}" value=""> {{.Name}}</span>
{{else if .Options}}<select name="{{.Name}}"><option value="">{{.Name}}</option>{{range .Options}}{{if .}}<option>{{.}}</option>{{end}}{{end}}</select>
{{else}}<input type="text" name="{{.Name}}" placeholder="{{.Name}}">
{{end}}<label>{{.Help}}</label>
{{end}}</form>
{{end}}</body>
</html>
`

// indexPage is the page at "/". Endpoints that change state are buttons that post.
func indexPage(endpoints []adminhook.Endpoint) []byte {
	var b bytes.Buffer
	if err := template.Must(template.New("index").Parse(indexTemplate)).Execute(&b, endpoints); err != nil {
		panic(err) // the template does not fit its data: every test would see it
	}
	return b.Bytes()
}

func (s *Server) serveIndex(w http.ResponseWriter, _ *http.Request, _ url.Values) {
	w.Header().Set("Content-Type", htmlText)
	w.Write(s.index)
}
