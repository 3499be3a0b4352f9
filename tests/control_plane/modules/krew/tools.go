//go:build tools

// The commands that the tests build. Imported so that `go mod tidy` keeps what they need in go.mod and go.sum.
package tools

import (
	_ "sigs.k8s.io/krew/cmd/krew"
	_ "sigs.k8s.io/krew/cmd/validate-krew-manifest"
)
