// Command tsad runs a time-stamp authority of package test/tsa, for scripts and for trying things out. Its
// keys are made anew at each start and mean nothing.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"qifeng/test/tsa"
)

func main() {
	alg := flag.String("alg", "rsa", "rsa, ecdsa (by openssl ts) or sm2")
	listen := flag.String("listen", "127.0.0.1:0", "address")
	dir := flag.String("dir", "", "folder for its files, root.pem among them; it exists and is empty")
	flag.Parse()
	if err := run(*dir, tsa.Config{Alg: tsa.Alg(*alg), Listen: *listen}); err != nil {
		fmt.Fprintln(os.Stderr, "tsad:", err)
		os.Exit(1)
	}
}

func run(dir string, cfg tsa.Config) error {
	if dir == "" {
		return fmt.Errorf("-dir is missing")
	}
	a, err := tsa.New(dir, cfg)
	if err != nil {
		return err
	}
	defer a.Down()
	root, err := a.RootFile()
	if err != nil {
		return err
	}
	fmt.Printf("url %s\nroot %s\nhash %s\n", a.URL, root, a.Hash())
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	<-stop
	return nil
}
