package format

import (
	"errors"
	"fmt"
	"strings"
)

// ParseHeaderNames parses X?Y, the argument of operators on headers: the header X, or
// else Y. The names are in lower case, Y is "" if there is none.
func ParseHeaderNames(arg string) ([2]string, error) {
	main, alternative, _ := strings.Cut(arg, "?")
	if strings.Contains(alternative, "?") {
		return [2]string{}, fmt.Errorf("More than 1 alternative header specified in token: %s", arg)
	}
	for _, b := range []byte(main + alternative) {
		if b <= ' ' || b >= 0x7f || strings.ContainsRune("\"(),/;<=>?@[\\]{}", rune(b)) {
			return [2]string{}, errors.New("Invalid header configuration. Format string contains invalid characters.")
		}
	}
	return [2]string{strings.ToLower(main), strings.ToLower(alternative)}, nil
}
