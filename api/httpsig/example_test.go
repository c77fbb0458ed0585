package httpsig_test

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"time"

	"qifeng/api/httpsig"
	"qifeng/evidence"
	"qifeng/internal/gm"
	"qifeng/proof/checkpoint"
)

// oneKey is a register that holds one key.
type oneKey struct{ public gm.PublicKey }

func (o oneKey) Key(member, name string) (gm.PublicKey, evidence.Purpose, bool) {
	return o.public, evidence.Read, member == "vendor-a" && name == "reader"
}

func Example() {
	key, err := gm.GenerateKey(gm.SM2)
	if err != nil {
		panic(err)
	}
	door, err := httpsig.NewVerifier(httpsig.Config{Keys: oneKey{key.Public()}, Origins: []string{"https://court.example"}})
	if err != nil {
		panic(err)
	}

	// The client signs each request when it is sent.
	out, err := http.NewRequest(http.MethodGet, "https://court.example/v1/records/00ff", nil)
	if err != nil {
		panic(err)
	}
	if err := httpsig.Sign(out, httpsig.KeyID("vendor-a", "reader"), key, time.Now()); err != nil {
		panic(err)
	}
	var wire bytes.Buffer
	if err := out.Write(&wire); err != nil {
		panic(err)
	}

	// The node reads who it is, and what that one may see.
	in, err := http.ReadRequest(bufio.NewReader(&wire))
	if err != nil {
		panic(err)
	}
	id, err := door.Verify(in)
	fmt.Println(id.Member, id.Key, err)
	mine := &evidence.Record{Submission: &evidence.Submission{Submitter: "vendor-a"}}
	foreign := &evidence.Record{Submission: &evidence.Submission{Submitter: "vendor-b"}}
	fmt.Println(httpsig.CanRead(id, checkpoint.Vendor, mine), httpsig.CanRead(id, checkpoint.Vendor, foreign))

	// The same request once more opens nothing.
	_, err = door.Verify(in)
	fmt.Println(err)
	// Output:
	// vendor-a reader <nil>
	// true false
	// signature-replayed: Signature-Input has a nonce that vendor-a has used
}
