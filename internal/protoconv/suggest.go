package protoconv

import (
	"fmt"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// suggest returns "; did you mean x?" if md has a field that differs from name
// in a letter or two, and "" otherwise.
func suggest(name string, md protoreflect.MessageDescriptor) string {
	best, limit := "", min(len(name)/3, 2)+1
	if len(name) > 64 {
		return ""
	}
	for i := range md.Fields().Len() {
		fd := md.Fields().Get(i)
		for _, known := range []string{string(fd.Name()), fd.JSONName()} {
			if d := distance(name, known); d < limit {
				best, limit = known, d
			}
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %s?", best)
}

// distance counts the letters to insert, remove or replace to turn a into b.
func distance(a, b string) int {
	row := make([]int, len(b)+1) // distances of a[:i] to each b[:j]
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
