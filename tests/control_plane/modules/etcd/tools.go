//go:build tools

// The command that the tests build. Imported so that `go mod tidy` keeps what it needs in go.mod and go.sum.
package tools

import _ "go.etcd.io/etcd/server/v3"
