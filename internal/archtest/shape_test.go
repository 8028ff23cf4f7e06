package archtest

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// maxLines is how long a file that ships may be: longer ones hold two things.
const maxLines = 800

func TestFileSizes(t *testing.T) {
	eachFile(t, parser.ImportsOnly, func(file, _ string, _ *token.FileSet, _ *ast.File) {
		if strings.HasSuffix(file, "_test.go") {
			return
		}
		text, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(text, []byte("\n")); n > maxLines {
			t.Errorf("%s has %d lines, more than %d: cut it by subject", file, n, maxLines)
		}
	})
}

// TestPackageComments wants one package comment in each package: it is what a
// reader sees first.
func TestPackageComments(t *testing.T) {
	comments := map[string]int{}
	eachFile(t, parser.ImportsOnly|parser.ParseComments, func(file, dir string, _ *token.FileSet, syntax *ast.File) {
		if strings.HasSuffix(file, "_test.go") {
			return
		}
		if syntax.Doc != nil && strings.TrimSpace(syntax.Doc.Text()) != "" {
			comments[dir]++
		} else {
			comments[dir] += 0
		}
	})
	for dir, n := range comments {
		if n != 1 {
			t.Errorf("package in %s has %d package comments, not 1", dir, n)
		}
	}
}

// banned are names of packages that mean nothing.
var banned = map[string]bool{"util": true, "utils": true, "common": true, "types": true, "base": true, "helper": true, "helpers": true, "misc": true}

func TestPackageNames(t *testing.T) {
	eachFile(t, parser.PackageClauseOnly, func(file, _ string, _ *token.FileSet, syntax *ast.File) {
		if banned[syntax.Name.Name] {
			t.Errorf("%s: package %s: say what it holds", file, syntax.Name.Name)
		}
	})
}

// TestExtensionReadmes wants the same sections from each extension.
func TestExtensionReadmes(t *testing.T) {
	sections := []string{"Name", "What it does", "Config", "Stats", "Runtime keys", "Examples"}
	var dirs []string
	for _, pattern := range []string{"extensions/filters/*/*", "extensions/accessloggers/*", "extensions/matching/*", "extensions/path/*/*", "extensions/earlyheadermutation/*",
		"extensions/originalipdetection/*", "extensions/requestid/*", "extensions/accessloggers/filters/*", "extensions/formatters/*",
		"extensions/retry/*/*", "extensions/internalredirect/*", "extensions/clusterspecifiers/*", "extensions/transportsockets/*",
		"extensions/headerformatters/*", "extensions/ratelimitdescriptors/*"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: no extensions, %v", pattern, err)
		}
		dirs = append(dirs, found...)
	}
	for _, dir := range dirs {
		if filepath.Base(dir) == "filters" { // has extensions below it
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, "README.md"))
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		for _, s := range sections {
			if !bytes.Contains(text, []byte("\n## "+s+"\n")) {
				t.Errorf("%s/README.md has no section %q", dir, s)
			}
		}
	}
}

// TestExtendingNamesAll wants every kind of extension in docs/extending.md.
func TestExtendingNamesAll(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join(root, "docs", "extending.md"))
	if err != nil {
		t.Fatal(err)
	}
	eachFile(t, parser.SkipObjectResolution, func(file, dir string, _ *token.FileSet, syntax *ast.File) {
		if dir != "api/extension" {
			return
		}
		ast.Inspect(syntax, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if ok && spec.Name.Name != "Factory" && strings.HasSuffix(spec.Name.Name, "Factory") && !bytes.Contains(doc, []byte("`extension."+spec.Name.Name+"`")) {
				t.Errorf("%s: docs/extending.md does not name extension.%s", file, spec.Name.Name)
			}
			return true
		})
	})
}
