// Package greeting is what the example says.
package greeting

import (
	_ "embed"
	"runtime"
	"strings"
)

//go:embed whom.txt
var whom string

// Text greets, and says which Go made this program.
func Text() string {
	return "Hello, " + strings.TrimSpace(whom) + "! " + runtime.Version()
}
