package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"

	"qifeng/proof/checkpoint"
	"qifeng/proof/fabric"
)

// A contract answers the peer's calls; many may run at once.
type contract struct {
	policies *policies
	writers  *writers
	log      *slog.Logger
	running  sync.WaitGroup // calls in flight
}

// Init implements shim.Chaincode; there is nothing to begin with.
func (c *contract) Init(shim.ChaincodeStubInterface) *peer.Response { return shim.Success(nil) }

// Invoke implements shim.Chaincode.
func (c *contract) Invoke(stub shim.ChaincodeStubInterface) (answer *peer.Response) {
	c.running.Add(1)
	defer c.running.Done()
	defer func() {
		// Not known to happen; but one call must not end the service for all.
		if p := recover(); p != nil {
			c.log.Error("call failed", "panic", fmt.Sprint(p))
			answer = refuse(internal, "the call failed").response()
		}
	}()
	entry, err := c.call(stub, stub.GetArgs())
	if err == nil {
		return shim.Success(entry)
	}
	var r *refusal
	if !errors.As(err, &r) {
		c.log.Error("call failed", "err", err, "tx", stub.GetTxID())
		return refuse(internal, "the state could not be read or written; the chaincode's log says why").response()
	}
	c.log.Log(context.Background(), r.level(), "call refused", "reason", r.Error(), "tx", stub.GetTxID())
	return r.response()
}

// call runs one function and returns an entry's bytes.
func (c *contract) call(stub shim.ChaincodeStubInterface, args [][]byte) ([]byte, error) {
	if len(args) == 0 {
		return nil, refuse(invalid, "no function is named")
	}
	function, args := string(args[0]), args[1:]
	switch {
	case function == fabric.FunctionPut && len(args) == 3:
		return c.put(stub, args[0], args[1], args[2])
	case function == fabric.FunctionGet && len(args) == 2:
		return get(stub, args[0], args[1])
	case function == fabric.FunctionHead && len(args) == 1:
		return head(stub, args[0])
	}
	return nil, refuse(invalid, "the functions are put(note, old size, path), get(origin, size) and head(origin)")
}

func get(stub shim.ChaincodeStubInterface, originText, sizeText []byte) ([]byte, error) {
	origin, err := parseOrigin(originText)
	if err != nil {
		return nil, err
	}
	size, err := parseSize(sizeText)
	if err != nil {
		return nil, err
	}
	e, err := readEntry(stub, fabric.EntryKey(origin, size))
	if err == nil && e == nil {
		err = refuse(notFound, "%s has no checkpoint of size %d here", origin, size)
	}
	return e.bytes(), err
}

func head(stub shim.ChaincodeStubInterface, originText []byte) ([]byte, error) {
	origin, err := parseOrigin(originText)
	if err != nil {
		return nil, err
	}
	e, err := readEntry(stub, fabric.HeadKey(origin))
	if err == nil && e == nil {
		err = refuse(notFound, "%s has no checkpoint here", origin)
	}
	return e.bytes(), err
}

// An entry is what the state holds of a checkpoint; nil where it holds none.
type entry fabric.Statement

func (e *entry) bytes() []byte {
	if e == nil {
		return nil
	}
	return fabric.Statement(*e).Marshal()
}

func readEntry(stub shim.ChaincodeStubInterface, key string) (*entry, error) {
	b, err := stub.GetState(key)
	if err != nil {
		return nil, fmt.Errorf("reading the state: %w", err)
	}
	if b == nil {
		return nil, nil
	}
	s, err := fabric.ParseStatement(b)
	if err != nil {
		return nil, fmt.Errorf("the state at %s: %w", key, err)
	}
	return (*entry)(&s), nil
}

// parseOrigin reads the name of a log, "qifeng/" and a chain id.
func parseOrigin(text []byte) (string, error) {
	if len(text) > len(checkpoint.Origin(""))+checkpoint.MaxChainID {
		return "", refuse(invalid, "the origin has %d bytes", len(text))
	}
	chain, ok := strings.CutPrefix(string(text), checkpoint.Origin(""))
	if !ok || checkpoint.CheckChainID(chain) != nil {
		return "", refuse(invalid, "%q is no origin of this kind of ledger", text)
	}
	return string(text), nil
}

// parseSize reads a ledger size in decimal, in its one spelling.
func parseSize(text []byte) (uint64, error) {
	if len(text) > maxDigits {
		return 0, refuse(invalid, "a size of %d digits", len(text))
	}
	n, err := strconv.ParseUint(string(text), 10, 64)
	if err != nil || n > checkpoint.MaxSize || strconv.FormatUint(n, 10) != string(text) {
		return 0, refuse(invalid, "%q is no size in decimal", text)
	}
	return n, nil
}
