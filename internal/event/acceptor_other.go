//go:build !linux

package event

import "errors"

func (a *Acceptor[T]) add() error { return errors.ErrUnsupported }
func (a *Acceptor[T]) remove()    {}
