//go:build !linux

package event

func systemKinds() []kind { return nil }
