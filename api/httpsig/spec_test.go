package httpsig

import (
	"encoding/hex"
	"encoding/pem"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"qifeng/evidence"
	"qifeng/internal/gm"
)

// readSpec is the normative page; these tests hold it to the code.
func readSpec(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../../docs/spec/http.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestSpecVectors verifies the vectors of the page, and makes the Ed25519 one
// again from the published private key.
func TestSpecVectors(t *testing.T) {
	spec := readSpec(t)
	keys := regexp.MustCompile("`((?:ed25519|sm2):[0-9a-f]+)`").FindAllStringSubmatch(spec, -1)
	inputs := regexp.MustCompile(`(?m)^Signature-Input: (.*)$`).FindAllStringSubmatch(spec, -1)
	sigs := regexp.MustCompile(`(?m)^Signature: (qifeng=:[A-Za-z0-9+/=]+:)$`).FindAllStringSubmatch(spec, -1)
	if len(keys) != 2 || len(inputs) != 3 || len(sigs) != 2 {
		t.Fatalf("%d keys, %d inputs, %d signatures", len(keys), len(inputs), len(sigs))
	}
	d := newDoor(t, "https://court.example")
	for i, keyID := range []string{"notary-a/desk-1", "court-a/desk-1"} {
		e := d.keys[keyID]
		var err error
		if e.key, err = gm.ParsePublicKey(keys[i][1]); err != nil {
			t.Fatal(err)
		}
		e.purpose = evidence.Read
		d.keys[keyID] = e
		r := specRequest(t, spec)
		r.Header.Set(inputField, inputs[i+1][1])
		r.Header.Set(signatureField, sigs[i][1])
		id, err := d.Verify(sent(t, r))
		if err != nil || KeyID(id.Member, id.Key) != keyID {
			t.Errorf("vector %d: %+v, %v", i, id, err)
		}
	}
	p, _, _, err := parseInput(inputs[0][1])
	if err != nil {
		t.Fatalf("the example of §1: %v", err)
	}
	base, _, err := ownBase(specRequest(t, spec), p, "")
	if err != nil || !strings.Contains(spec, "```\n"+string(base)+"\n```") {
		t.Errorf("the page does not show the base, %v\n%s", err, base)
	}

	// RFC 9421 B.1.4: the key is public knowledge.
	der, err := hex.DecodeString("302e020100300506032b6570042204209f8362f87a484a954e6e740c5b4c0e84229139a20aa8ab56ff66586f6a7d29c5")
	if err != nil {
		t.Fatal(err)
	}
	k, err := gm.ParsePrivateKey(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	if err != nil {
		t.Fatal(err)
	}
	r := specRequest(t, spec)
	if err := sign(r, "notary-a/desk-1", k, start, p.nonce); err != nil {
		t.Fatal(err)
	}
	if r.Header.Get(inputField) != inputs[1][1] || r.Header.Get(signatureField) != sigs[0][1] {
		t.Errorf("signed anew:\n%s\n%s", r.Header.Get(inputField), r.Header.Get(signatureField))
	}
}

func specRequest(t *testing.T, spec string) *http.Request {
	t.Helper()
	m := regexp.MustCompile(`(?m)^GET (/\S+) HTTP/1.1\nHost: (\S+)$`).FindStringSubmatch(spec)
	if m == nil {
		t.Fatal("no request in the page")
	}
	return request(t, http.MethodGet, "https://"+m[2]+m[1], "")
}

// TestSpecNumbers: codes, statuses and bounds of the page are those of the code.
func TestSpecNumbers(t *testing.T) {
	spec := readSpec(t)
	rowsOf := regexp.MustCompile("(?m)`(signature-[a-z]+)` \\| ([0-9]+) \\|$").FindAllStringSubmatch(spec, -1)
	told := map[Code]bool{}
	for _, m := range rowsOf {
		code := Code(m[1])
		told[code] = true
		if r, ok := rows[code]; !ok || strconv.Itoa(r.status) != m[2] {
			t.Errorf("%s is told with status %s", code, m[2])
		}
	}
	for code := range rows {
		if !told[code] {
			t.Errorf("%s is not in the page", code)
		}
	}
	for _, want := range []string{
		AcceptSignature, Challenge, Tag,
		"## 3. What is signed", // named by the mend of signature-wrong
		"at most " + strconv.Itoa(maxInput) + " bytes", "exactly " + strconv.Itoa(maxSignature),
		"1 to " + strconv.Itoa(maxMethod) + " bytes", "at most " + strconv.Itoa(maxTarget) + "\nbytes",
		"at most " + strconv.Itoa(maxBody) + " bytes", "at most " + strconv.Itoa(int(windowSeconds)) + " seconds",
		"at most " + strconv.Itoa(maxNonces) + " per",
	} {
		if !strings.Contains(spec, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}
