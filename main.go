// Command qifeng is the evidence-preservation node and its command line.
package main

import (
	"os"

	"qifeng/node"
)

func main() {
	os.Exit(node.Main())
}
