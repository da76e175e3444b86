// Prints a greeting and the version that the build put in.
package main

import (
	"fmt"
	"os"

	"example.com/app/greet"
	"rsc.io/quote"
)

var version = "none"

func main() {
	if len(os.Args) > 1 {
		panic(os.Args[1])
	}
	fmt.Println(version, greet.Text(), quote.Go())
}
