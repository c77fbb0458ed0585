package timestamp

import (
	"bytes"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"
)

// signedData is a CMS SignedData (RFC 5652 §5.1) of one signer.
type signedData struct {
	oid          asn1.ObjectIdentifier // that it came under
	head         []byte                // version, digest algorithms and content, as they stand
	content      []byte                // DER of the TSTInfo
	certificates cryptobyte.String     // contents of the field, empty where absent
	present      bool                  // the field of certificates is there
	lists        [][]byte              // DER of the field's elements
	tail         []byte                // the signer infos, as they stand
	signer       signerInfo
}

// signerInfo is RFC 5652 §5.3.
type signerInfo struct {
	issuer     []byte // DER of the Name, nil where keyID identifies the certificate
	serial     *big.Int
	keyID      []byte
	hash       *hashing
	attributes map[string]cryptobyte.String // by OID: the set of values
	signed     []byte                       // the attributes as they are signed
	algorithm  algorithm
	signature  []byte
}

func parseSignedData(token []byte) (*signedData, error) {
	if len(token) > MaxTokenBytes {
		return nil, fmt.Errorf("%d bytes, at most %d are taken", len(token), MaxTokenBytes)
	}
	in := cryptobyte.String(token)
	var info, explicit, body cryptobyte.String
	sd := &signedData{}
	if !in.ReadASN1(&info, der.SEQUENCE) || !in.Empty() {
		return nil, errors.New("not one DER sequence")
	}
	if !info.ReadASN1ObjectIdentifier(&sd.oid) || !info.ReadASN1(&explicit, tag0) || !info.Empty() ||
		!explicit.ReadASN1(&body, der.SEQUENCE) || !explicit.Empty() {
		return nil, errors.New("not a CMS ContentInfo in DER")
	}
	if !sd.oid.Equal(oidSignedData) && !sd.oid.Equal(oidSMSignedData) {
		return nil, fmt.Errorf("content type %v, want SignedData", sd.oid)
	}
	return sd, sd.parse(body)
}

func (sd *signedData) parse(body cryptobyte.String) error {
	all := body
	var version int64
	var digests, signers cryptobyte.String
	if !body.ReadASN1Integer(&version) || !body.ReadASN1(&digests, der.SET) {
		return errors.New("malformed SignedData")
	}
	if version != 3 && !(version == 1 && sd.oid.Equal(oidSMSignedData)) {
		return fmt.Errorf("SignedData of version %d, want 3", version)
	}
	if err := sd.parseContent(&body); err != nil {
		return err
	}
	sd.head = all[:len(all)-len(body)]
	if !body.ReadOptionalASN1(&sd.certificates, &sd.present, tag0) {
		return errors.New("malformed certificates")
	}
	if err := sd.parseLists(&body); err != nil {
		return err
	}
	sd.tail = body
	if !body.ReadASN1(&signers, der.SET) || !body.Empty() {
		return errors.New("malformed signer infos")
	}
	if err := sd.signer.parse(&signers); err != nil {
		return err
	}
	if !signers.Empty() {
		return errors.New("more than one signer")
	}
	return checkDigests(digests, sd.signer.hash)
}

func (sd *signedData) parseContent(body *cryptobyte.String) error {
	var encap, explicit cryptobyte.String
	var oid asn1.ObjectIdentifier
	if !body.ReadASN1(&encap, der.SEQUENCE) || !encap.ReadASN1ObjectIdentifier(&oid) {
		return errors.New("malformed content")
	}
	if !oid.Equal(oidTSTInfo) {
		return fmt.Errorf("content of type %v, want TSTInfo", oid)
	}
	if !encap.ReadASN1(&explicit, tag0) || !encap.Empty() {
		return errors.New("the TSTInfo is not inside")
	}
	var ok bool
	if sd.content, ok = readOctets(&explicit); !ok || !explicit.Empty() {
		return errors.New("malformed content")
	}
	return nil
}

// parseLists reads the field crls. What is no certificate revocation list there (RFC 5652 §10.2.1
// allows other formats) is not understood, and not passed over: nobody needs it but us.
func (sd *signedData) parseLists(body *cryptobyte.String) error {
	var lists cryptobyte.String
	var present bool
	if !body.ReadOptionalASN1(&lists, &present, tag1) {
		return fmt.Errorf("%w: malformed", ErrList)
	}
	for !lists.Empty() {
		var list cryptobyte.String
		if !lists.ReadASN1Element(&list, der.SEQUENCE) {
			return fmt.Errorf("%w: not a certificate revocation list", ErrList)
		}
		if sd.lists = append(sd.lists, list); len(sd.lists) > maxLists {
			return fmt.Errorf("%w: more than %d", ErrList, maxLists)
		}
	}
	if present && len(sd.lists) == 0 {
		return fmt.Errorf("%w: an empty field", ErrList)
	}
	return nil
}

func checkDigests(digests cryptobyte.String, want *hashing) error {
	found := false
	for n := 0; !digests.Empty(); n++ {
		h, err := readHashing(&digests)
		if err != nil {
			return err
		}
		if n == maxDigests {
			return fmt.Errorf("more than %d digest algorithms", maxDigests)
		}
		found = found || h == want
	}
	if !found {
		return fmt.Errorf("the signer's %s is not among the digest algorithms", want.name)
	}
	return nil
}

func (s *signerInfo) parse(in *cryptobyte.String) error {
	var seq cryptobyte.String
	var version int64
	if !in.ReadASN1(&seq, der.SEQUENCE) || !seq.ReadASN1Integer(&version) {
		return errors.New("malformed signer info")
	}
	want, err := s.parseIdentifier(&seq)
	if err != nil {
		return err
	}
	if version != want {
		return fmt.Errorf("signer info of version %d, want %d", version, want)
	}
	if s.hash, err = readHashing(&seq); err != nil {
		return fmt.Errorf("signer: %w", err)
	}
	var signed cryptobyte.String
	if !seq.PeekASN1Tag(tag0) || !seq.ReadASN1Element(&signed, tag0) {
		return errors.New("no signed attributes")
	}
	// They are signed as a SET OF, and stand here under an implicit tag (RFC 5652 §5.4).
	s.signed = bytes.Clone(signed)
	s.signed[0] = byte(der.SET)
	if s.attributes, err = parseAttributes(signed, tag0); err != nil {
		return fmt.Errorf("signed attributes: %w", err)
	}
	if s.algorithm, err = readAlgorithm(&seq); err != nil {
		return fmt.Errorf("signature: %w", err)
	}
	var ok bool
	if s.signature, ok = readOctets(&seq); !ok {
		return errors.New("malformed signature")
	}
	if !seq.Empty() {
		var unsigned cryptobyte.String
		if !seq.ReadASN1Element(&unsigned, tag1) || !seq.Empty() {
			return errors.New("malformed signer info")
		}
		if _, err := parseAttributes(unsigned, tag1); err != nil {
			return fmt.Errorf("unsigned attributes: %w", err)
		}
	}
	return nil
}

// parseIdentifier reads which certificate is the signer's, and returns the version that goes with
// the way it is said.
func (s *signerInfo) parseIdentifier(seq *cryptobyte.String) (version int64, err error) {
	if seq.PeekASN1Tag(tag0Plain) {
		var id cryptobyte.String
		if !seq.ReadASN1(&id, tag0Plain) || len(id) == 0 {
			return 0, errors.New("malformed subject key identifier of the signer")
		}
		s.keyID = id
		return 3, nil
	}
	var pair, issuer cryptobyte.String
	s.serial = new(big.Int)
	if !seq.ReadASN1(&pair, der.SEQUENCE) || !pair.ReadASN1Element(&issuer, der.SEQUENCE) ||
		!pair.ReadASN1Integer(s.serial) || !pair.Empty() {
		return 0, errors.New("malformed issuer and serial number of the signer")
	}
	s.issuer = issuer
	return 1, nil
}

// parseAttributes reads a set of attributes, each type once.
func parseAttributes(in cryptobyte.String, tag der.Tag) (map[string]cryptobyte.String, error) {
	var set cryptobyte.String
	if !in.ReadASN1(&set, tag) || set.Empty() {
		return nil, errors.New("malformed, or none")
	}
	out := map[string]cryptobyte.String{}
	for !set.Empty() {
		var one, values cryptobyte.String
		var oid asn1.ObjectIdentifier
		if !set.ReadASN1(&one, der.SEQUENCE) || !one.ReadASN1ObjectIdentifier(&oid) ||
			!one.ReadASN1(&values, der.SET) || !one.Empty() {
			return nil, errors.New("malformed")
		}
		name := oid.String()
		if _, twice := out[name]; twice {
			return nil, fmt.Errorf("%s stands twice", name)
		}
		if out[name] = values; len(out) > maxAttributes {
			return nil, fmt.Errorf("more than %d", maxAttributes)
		}
	}
	return out, nil
}
