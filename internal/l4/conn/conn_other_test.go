//go:build !linux

package conn

import "errors"

func dup(int) (int, error) { return -1, errors.ErrUnsupported }
