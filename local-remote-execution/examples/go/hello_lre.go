// Says which Go made it.
package main

import (
	"fmt"

	"example.com/lre/greeting"
)

func main() {
	fmt.Println(greeting.Text())
}
