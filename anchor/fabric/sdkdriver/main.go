// Command sdkdriver puts transactions on Fabric networks that have no gateway
// service (before 2.4), by fabric-sdk-go. A node starts it and speaks to it on
// standard input and output (package sdkwire); people do not.
//
// It is a program of its own because fabric-sdk-go and fabric-gateway register
// the same protobuf messages and cannot share one (docs/adr/0036-sdk-driver.md). It
// decides nothing: what it brings is verified by the node as if a stranger had
// brought it.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"qifeng/anchor/fabric/sdkwire"
)

func main() {
	if len(os.Args) > 1 {
		fmt.Fprintln(os.Stderr, "由节点启动，不供手工使用；见 docs/anchors.md · Started by a node, not by hand; see docs/anchors.md.")
		os.Exit(2)
	}
	out, err := ownOutput()
	if err == nil {
		err = serve(os.Stdin, out)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "sdkdriver:", err)
		os.Exit(1)
	}
}

// serve answers requests until the input ends, which it does when the node
// does. The SDK may be in the middle of something then: the process ends.
func serve(in io.Reader, out io.Writer) error {
	requests, failed := make(chan *sdkwire.Request), make(chan error, 1)
	go func() {
		r := sdkwire.NewReader(in)
		for {
			req := &sdkwire.Request{}
			if err := r.Read(req); err != nil {
				failed <- err
				return
			}
			requests <- req
		}
	}()
	d := &driver{}
	for {
		select {
		case err := <-failed:
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		case req := <-requests:
			done := make(chan *sdkwire.Answer, 1)
			go func() { done <- d.answer(req) }()
			select {
			case a := <-done:
				if err := sdkwire.Write(out, a); err != nil {
					return err
				}
			case err := <-failed:
				if errors.Is(err, io.EOF) {
					return nil
				}
				return err
			}
		}
	}
}

// answer does what is asked. A panic of the SDK is an error of this call, and
// of a transaction handed over nobody knows.
func (d *driver) answer(req *sdkwire.Request) (a *sdkwire.Answer) {
	defer func() {
		if p := recover(); p != nil {
			a = &sdkwire.Answer{Error: &sdkwire.Error{Kind: sdkwire.Unknown, Text: fmt.Sprintf("fabric-sdk-go panicked: %v", p)}}
		}
		a.ID = req.ID
	}()
	timeout := time.Duration(req.TimeoutMS) * time.Millisecond
	if timeout <= 0 || timeout > maxTimeout {
		timeout = maxTimeout
	}
	a, err := d.do(req, timeout)
	if err != nil {
		return &sdkwire.Answer{Error: wireError(err)}
	}
	return a
}

func (d *driver) do(req *sdkwire.Request, timeout time.Duration) (*sdkwire.Answer, error) {
	if req.Op == sdkwire.OpOpen {
		if req.Open == nil {
			return nil, errors.New("open: nothing to open")
		}
		return &sdkwire.Answer{}, d.open(req.Open)
	}
	if d.client == nil {
		return nil, errors.New("no channel is open")
	}
	switch req.Op {
	case sdkwire.OpEvaluate:
		return d.evaluate(req.Chaincode, req.Args, timeout)
	case sdkwire.OpEndorse:
		return d.endorse(req.Args, timeout)
	case sdkwire.OpSubmit:
		return d.submit(req.TxID, timeout)
	default:
		return nil, fmt.Errorf("unknown operation %q", req.Op)
	}
}
