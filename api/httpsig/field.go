package httpsig

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/dunglas/httpsfv"

	"qifeng/evidence"
	"qifeng/internal/gm"
	"qifeng/proof/checkpoint"
)

// What the profile fixes.
const (
	label = "qifeng"
	// Tag is the value of the tag parameter: what the signature is for.
	Tag = "qifeng-read/v1"

	inputField     = "Signature-Input"
	signatureField = "Signature"
	digestField    = "Content-Digest"
)

// AcceptSignature is the value of the Accept-Signature field (RFC 9421 §5.1)
// that goes with a refusal for want of a signature, and Challenge that of the
// WWW-Authenticate field, which every 401 must have (RFC 9110 §15.5.2).
const (
	AcceptSignature = label + `=("@method" "@authority" "@path" "@query");created;tag="` + Tag + `"`
	Challenge       = `Signature realm="qifeng"`
)

const nonceSize = 16

// params are the parameters of a signature.
type params struct {
	created int64
	nonce   [nonceSize]byte
	member  string
	key     string
}

// paramNames are the parameters, in their order.
var paramNames = []string{"created", "nonce", "keyid", "tag"}

// list is the structured field of the parameters: the covered components with
// the parameters, which is also the last line of the base.
func (p params) list(components []string) httpsfv.InnerList {
	l := httpsfv.InnerList{Params: httpsfv.NewParams()}
	for _, name := range components {
		l.Items = append(l.Items, httpsfv.NewItem(name))
	}
	l.Params.Add("created", p.created)
	l.Params.Add("nonce", hex.EncodeToString(p.nonce[:]))
	l.Params.Add("keyid", KeyID(p.member, p.key))
	l.Params.Add("tag", Tag)
	return l
}

// components are the names that are covered, with or without a body.
func components(body bool) []string {
	if body {
		return append(slices.Clone(names), contentDigest)
	}
	return names
}

// KeyID is the keyid parameter of a registered key.
func KeyID(member, name string) string { return member + "/" + name }

func parseKeyID(s string) (member, name string, err error) {
	member, name, _ = strings.Cut(s, "/")
	if err := errors.Join(checkpoint.CheckMemberID(member), evidence.CheckKeyName(name)); err != nil {
		return "", "", errors.New("a keyid is a member id, a slash and the name of a key: notary-a/desk-1")
	}
	return member, name, nil
}

// header finds the one value of a header; ok is false where there is none.
func header(h http.Header, name string, limit int) (value string, ok bool, err error) {
	values := h[name]
	if len(values) == 0 {
		return "", false, nil
	}
	if len(values) > 1 {
		return "", true, refuse(Malformed, name, "stands %d times", len(values))
	}
	value = values[0]
	if len(value) > limit {
		return "", true, refuse(Malformed, name, "has %d bytes, the limit is %d", len(value), limit)
	}
	for i := range len(value) {
		if c := value[i]; c < ' ' || c >= 0x7f {
			return "", true, refuse(Malformed, name, "holds the byte %#02x: it is printable ASCII", c)
		}
	}
	return value, true, nil
}

// parseDictionary reads the one member of a dictionary. The library panicked on
// some malformed values before v1.1.2 (GHSA-jj78-73gf-wr5j, and dates at the very
// end). Anyone can send a value, so a panic here is one that cannot be read.
func parseDictionary(name, value string) (d *httpsfv.Dictionary, m httpsfv.Member, err error) {
	defer func() {
		if recover() != nil {
			d, m, err = nil, nil, refuse(Malformed, name, "is no dictionary of structured fields (RFC 9651)")
		}
	}()
	d, perr := httpsfv.UnmarshalDictionary([]string{value})
	if perr != nil {
		return nil, nil, refuse(Malformed, name, "is no dictionary of structured fields (RFC 9651): %v", perr)
	}
	m, ok := d.Get(label)
	if !ok || len(d.Names()) != 1 {
		return nil, nil, refuse(Profile, name, "holds the labels %q: one signature, labelled %s, is accepted", d.Names(), label)
	}
	return d, m, nil
}

// respelt refuses a value that the library reads but would write otherwise:
// white space, a label or parameter twice, another base64.
func respelt(name, value string, d *httpsfv.Dictionary) error {
	if s, err := httpsfv.Marshal(d); err != nil || s != value {
		return refuse(Malformed, name, "has another spelling than the only one: single spaces between components, none elsewhere, nothing twice")
	}
	return nil
}

// parseInput reads the value of Signature-Input. raw is the part that stands in
// the base; body says whether a content digest is covered.
func parseInput(value string) (p params, raw string, body bool, err error) {
	d, m, err := parseDictionary(inputField, value)
	if err != nil {
		return params{}, "", false, err
	}
	list, ok := m.(httpsfv.InnerList)
	if !ok {
		return params{}, "", false, refuse(Profile, inputField, "has no list of components in parentheses")
	}
	if body, err = checkComponents(list.Items); err != nil {
		return params{}, "", false, err
	}
	if p, err = readParams(list.Params); err != nil {
		return params{}, "", false, err
	}
	if err := respelt(inputField, value, d); err != nil {
		return params{}, "", false, err
	}
	return p, strings.TrimPrefix(value, label+"="), body, nil
}

func checkComponents(items []httpsfv.Item) (body bool, err error) {
	got := make([]string, len(items))
	for i, it := range items {
		name, ok := it.Value.(string)
		if !ok || len(it.Params.Names()) > 0 {
			return false, refuse(Profile, inputField, "covers component %d with a parameter or not as a string", i+1)
		}
		got[i] = name
	}
	body = len(got) > len(names)
	if want := components(body); !slices.Equal(got, want) {
		return false, refuse(Profile, inputField, "covers %q: the components are %q, in this order, and %q last where there is a body", got, names, contentDigest)
	}
	return body, nil
}

func readParams(ps *httpsfv.Params) (p params, err error) {
	if got := ps.Names(); !slices.Equal(got, paramNames) {
		if slices.Contains(got, "alg") {
			return p, refuse(Profile, inputField, "has the parameter alg: the algorithm is that of the registered key")
		}
		return p, refuse(Profile, inputField, "has the parameters %q: they are %q, in this order", got, paramNames)
	}
	value := func(name string) any {
		v, _ := ps.Get(name)
		return v
	}
	created, ok := value("created").(int64)
	if !ok || created < 0 {
		return p, refuse(Profile, inputField, "has a created that is no number of seconds since 1970")
	}
	nonce, _ := value("nonce").(string)
	b, err := hex.DecodeString(nonce)
	if err != nil || len(b) != nonceSize || strings.ToLower(nonce) != nonce {
		return p, refuse(Profile, inputField, "has a nonce that is not %d lower-case hexadecimal digits", 2*nonceSize)
	}
	keyID, _ := value("keyid").(string)
	if p.member, p.key, err = parseKeyID(keyID); err != nil {
		return p, refuse(Profile, inputField, "has a wrong keyid: %v", err)
	}
	if tag, _ := value("tag").(string); tag != Tag {
		return p, refuse(Profile, inputField, "has another tag than %q", Tag)
	}
	p.created = created
	copy(p.nonce[:], b)
	return p, nil
}

// parseSignature reads the value of Signature.
func parseSignature(value string) ([]byte, error) {
	d, m, err := parseDictionary(signatureField, value)
	if err != nil {
		return nil, err
	}
	item, ok := m.(httpsfv.Item)
	if !ok {
		return nil, refuse(Profile, signatureField, "holds a list")
	}
	sig, ok := item.Value.([]byte)
	if !ok || len(sig) != gm.SignatureSize || len(item.Params.Names()) > 0 {
		return nil, refuse(Profile, signatureField, "is not a byte sequence of %d bytes between colons", gm.SignatureSize)
	}
	if err := respelt(signatureField, value, d); err != nil {
		return nil, err
	}
	return sig, nil
}

// digestOf is the Content-Digest of a body (RFC 9530), SHA-256 alone.
func digestOf(sum [32]byte) string {
	return fmt.Sprintf("sha-256=:%s:", base64.StdEncoding.EncodeToString(sum[:]))
}
