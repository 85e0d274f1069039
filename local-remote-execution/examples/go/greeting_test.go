package greeting_test

import (
	"fmt"
	"os/user"
	"strings"
	"testing"

	"example.com/lre/greeting"
)

func TestSaysWhichGoMadeIt(t *testing.T) {
	if !strings.Contains(greeting.Text(), "! go1.") {
		t.Error(greeting.Text())
	}
}

// In C, in libc: it is that of the store, whatever machine runs this.
func TestLooksUpUsers(t *testing.T) {
	if _, err := user.LookupId("4294967290"); err == nil {
		t.Error("a user that cannot be")
	}
}

func ExampleText() {
	fmt.Println(strings.Split(greeting.Text(), "!")[0])
	// Output: Hello, Local Remote Execution
}
