package main

import "syscall"

// dieWithParent asks the kernel to kill the child when this program is killed: then nobody is left to do it.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
