package main

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"math/big"

	"github.com/golang/protobuf/proto"
	"github.com/hyperledger/fabric-protos-go/common"
	mspproto "github.com/hyperledger/fabric-protos-go/msp"
)

// checkAuthorities names a CA certificate of the channel's organisations that
// the SDK cannot handle: it rewrites a high-S ECDSA signature on a certificate,
// which no longer parses as it was issued, drops the organisation with a mere
// warning, and later says "no endorsement combination can be satisfied".
func (d *driver) checkAuthorities() error {
	a, err := d.evaluate("cscc", [][]byte{[]byte("GetConfigBlock"), []byte(d.of.Channel)}, maxTimeout)
	if err != nil {
		return fmt.Errorf("reading the channel's configuration: %w", err)
	}
	groups, err := configGroups(a.Result)
	if err != nil {
		return fmt.Errorf("reading the channel's configuration: %w", err)
	}
	for _, section := range []string{"Application", "Orderer"} {
		for name, org := range groups[section].GetGroups() {
			if err := checkOrganisation(name, org); err != nil {
				return err
			}
		}
	}
	return nil
}

// configGroups unwraps a configuration block.
func configGroups(block []byte) (map[string]*common.ConfigGroup, error) {
	var b common.Block
	var e common.Envelope
	var p common.Payload
	var c common.ConfigEnvelope
	if err := proto.Unmarshal(block, &b); err != nil {
		return nil, err
	}
	if len(b.GetData().GetData()) != 1 {
		return nil, fmt.Errorf("the block has %d envelopes, not one", len(b.GetData().GetData()))
	}
	if err := proto.Unmarshal(b.Data.Data[0], &e); err != nil {
		return nil, err
	}
	if err := proto.Unmarshal(e.Payload, &p); err != nil {
		return nil, err
	}
	if err := proto.Unmarshal(p.Data, &c); err != nil {
		return nil, err
	}
	return c.GetConfig().GetChannelGroup().GetGroups(), nil
}

func checkOrganisation(name string, org *common.ConfigGroup) error {
	var outer mspproto.MSPConfig
	var inner mspproto.FabricMSPConfig
	value := org.GetValues()["MSP"]
	if value == nil {
		return nil
	}
	if err := proto.Unmarshal(value.Value, &outer); err != nil {
		return fmt.Errorf("reading the MSP of %s: %w", name, err)
	}
	if outer.Type != 0 { // not an X.509 MSP
		return nil
	}
	if err := proto.Unmarshal(outer.Config, &inner); err != nil {
		return fmt.Errorf("reading the MSP of %s: %w", name, err)
	}
	for _, list := range [][][]byte{inner.RootCerts, inner.IntermediateCerts} {
		for _, text := range list {
			if high, subject := highS(text); high {
				return configErrorf("the CA certificate %q of organisation %s carries a high-S ECDSA signature, which fabric-sdk-go cannot handle: "+
					"have the CA certificate re-issued with a low-S signature (sign again until openssl asn1parse shows a small second integer) "+
					"and the channel's configuration updated, or use driver = \"gateway\" where the peers have a gateway service (Fabric 2.4 and later)", subject, name)
			}
		}
	}
	return nil
}

// highS reports whether a PEM certificate was signed with the larger of the two
// values that s may have.
func highS(text []byte) (bool, string) {
	block, _ := pem.Decode(text)
	if block == nil {
		return false, ""
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return false, ""
	}
	key, ok := cert.PublicKey.(*ecdsa.PublicKey) // a CA certificate is signed by a key of its own kind
	if !ok {
		return false, ""
	}
	var sig struct{ R, S *big.Int }
	if rest, err := asn1.Unmarshal(cert.Signature, &sig); err != nil || len(rest) > 0 {
		return false, ""
	}
	half := new(big.Int).Rsh(key.Curve.Params().N, 1)
	return sig.S.Cmp(half) > 0, cert.Subject.String()
}
