//go:build !linux

package main

import "syscall"

// dieWithParent has no like elsewhere; there only a kill -9 of this program itself leaves the child behind.
func dieWithParent() *syscall.SysProcAttr { return nil }
