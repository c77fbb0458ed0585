package proof

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"

	"qifeng/evidence/canon"
	"qifeng/proof/checkpoint"
	"qifeng/proof/fabric"
	"qifeng/proof/timestamp"
)

const (
	anchorRootsType = "qifeng-anchor-roots"
	// anchorRootsDepth is how far a written file of roots is spread over lines.
	anchorRootsDepth = 3
)

// AnchorRoots are the outside witnesses that a court trusts, and by which keys.
// The file is held beside the trust policy; one found inside a proof is never
// trusted. Each list stands in rising order of the names, and no name stands
// twice in all of them.
type AnchorRoots struct {
	Chain      string
	Fabric     []fabric.Channel
	Timestamps []timestamp.Authority
	Witnesses  []NamedWitness
}

// NamedWitness is a C2SP witness with the name that the anchors here have for it;
// the key's own name is the witness operator's choice.
type NamedWitness struct {
	Name    string
	Witness checkpoint.Witness
}

var (
	rootsFields     = canon.Fields("chain", "fabric", "rfc3161", "type", "v", "witness")
	channelFields   = canon.Fields("chaincode", "channel", "endorsements", "name", "orderers", "organisations")
	orderersFields  = canon.Fields("consenters", "organisations", "signatures")
	consenterFields = canon.Fields("certificate", "id", "msp")
	orgFields       = canon.Fields("intermediates", "msp", "node_ous", "revoked?", "roots")
	authorityFields = canon.Fields("name", "roots")
	witnessFields   = canon.Fields("key", "name")
)

// ParseAnchorRoots reads a file of anchor roots; white space and key order are
// free. What it returns is valid: every anchor in it could verify a receipt.
func ParseAnchorRoots(data []byte) (*AnchorRoots, error) {
	data, err := canon.Canonicalize(data, MaxAnchorRootsBytes)
	if err != nil {
		return nil, fmt.Errorf("anchor roots: %w", err)
	}
	return parseAnchorRoots(data)
}

func parseAnchorRoots(data []byte) (*AnchorRoots, error) {
	r := &AnchorRoots{}
	d := canon.NewDecoder(data)
	for key := range d.Object(rootsFields) {
		switch key {
		case "chain":
			r.Chain = decodeChain(d)
		case "fabric":
			for range d.Array(0, maxRootsOfKind) {
				r.Fabric = append(r.Fabric, decodeChannel(d))
			}
		case "rfc3161":
			for range d.Array(0, maxRootsOfKind) {
				r.Timestamps = append(r.Timestamps, decodeAuthority(d))
			}
		case "type":
			d.Enum(anchorRootsType)
		case "v":
			d.Int(fileVersion, fileVersion)
		case "witness":
			for range d.Array(0, maxRootsOfKind) {
				r.Witnesses = append(r.Witnesses, decodeWitness(d))
			}
		}
	}
	if err := d.End(); err != nil {
		return nil, fmt.Errorf("anchor roots: %w", err)
	}
	if err := r.Validate(); err != nil {
		return nil, err
	}
	return r, nil
}

func decodeChannel(d *canon.Decoder) (c fabric.Channel) {
	for key := range d.Object(channelFields) {
		switch key {
		case "chaincode":
			c.Chaincode = d.String(maxFabricName)
		case "channel":
			c.Channel = d.String(maxFabricName)
		case "endorsements":
			c.Endorsements = int(d.Int(1, maxOrganisations))
		case "name":
			c.Name = decodeAnchorName(d)
		case "orderers":
			c.Orderers = decodeOrderers(d)
		case "organisations":
			c.Organisations = decodeOrganisations(d)
		}
	}
	return c
}

func decodeOrderers(d *canon.Decoder) (o fabric.Orderers) {
	for key := range d.Object(orderersFields) {
		switch key {
		case "consenters":
			for range d.Array(0, maxConsenters) {
				o.Consenters = append(o.Consenters, decodeConsenter(d))
			}
		case "organisations":
			o.Organisations = decodeOrganisations(d)
		case "signatures":
			o.Signatures = int(d.Int(1, maxConsenters))
		}
	}
	return o
}

func decodeConsenter(d *canon.Decoder) (c fabric.Consenter) {
	for key := range d.Object(consenterFields) {
		switch key {
		case "certificate":
			c.Certificate = decodeBase64(d, maxCertificate)
		case "id":
			c.ID = d.Int(0, canon.MaxInt)
		case "msp":
			c.MSP = d.String(maxFabricName)
		}
	}
	return c
}

func decodeOrganisations(d *canon.Decoder) (out []fabric.Organisation) {
	for range d.Array(1, maxOrganisations) {
		var o fabric.Organisation
		for key := range d.Object(orgFields) {
			switch key {
			case "intermediates":
				o.Intermediates = decodeCertificates(d, 0)
			case "msp":
				o.MSP = d.String(maxFabricName)
			case "node_ous":
				o.NodeOUs = d.Bool()
			case "revoked":
				for range d.Array(1, fabric.MaxRevoked) {
					o.Revoked = append(o.Revoked, decodeSerial(d))
				}
			case "roots":
				o.Roots = decodeCertificates(d, 1)
			}
		}
		out = append(out, o)
	}
	return out
}

func decodeSerial(d *canon.Decoder) []byte {
	s := d.String(2 * fabric.MaxSerial)
	b, err := hex.DecodeString(s)
	if d.Err() == nil && (err != nil || hex.EncodeToString(b) != s) {
		d.Fail("is no serial number in lower-case hex")
	}
	return b
}

func decodeCertificates(d *canon.Decoder, least int) (out [][]byte) {
	for range d.Array(least, maxCertificates) {
		out = append(out, decodeBase64(d, maxCertificate))
	}
	return out
}

func decodeAuthority(d *canon.Decoder) (a timestamp.Authority) {
	for key := range d.Object(authorityFields) {
		switch key {
		case "name":
			a.Name = decodeAnchorName(d)
		case "roots":
			a.Roots = decodeCertificates(d, 1)
		}
	}
	return a
}

func decodeWitness(d *canon.Decoder) (w NamedWitness) {
	for key := range d.Object(witnessFields) {
		switch key {
		case "key":
			s := d.String(maxWitnessKey)
			if d.Err() != nil {
				break
			}
			var err error
			if w.Witness, err = checkpoint.ParseWitness(s); err != nil {
				d.Fail("%v", err)
			}
		case "name":
			w.Name = decodeAnchorName(d)
		}
	}
	return w
}

// Validate refuses roots by which no receipt could be judged: of no chain, with a
// name that stands twice or out of order, with an anchor that could never verify.
func (r *AnchorRoots) Validate() error {
	if err := checkpoint.CheckChainID(r.Chain); err != nil {
		return fmt.Errorf("anchor roots: %w", err)
	}
	seen := map[string]AnchorKind{}
	last := ""
	name := func(kind AnchorKind, i int, name string, err error) error {
		if err == nil {
			err = CheckAnchorName(name)
		}
		other, twice := seen[name]
		switch {
		case err != nil:
		case twice:
			err = fmt.Errorf("the name stands there twice, as %s too", other)
		case i > 0 && last >= name:
			err = fmt.Errorf("it stands after %q: names are in rising order", last)
		}
		if err != nil {
			return fmt.Errorf("anchor roots: %s %q: %w", kind, name, err)
		}
		seen[name], last = kind, name
		return nil
	}
	for i := range r.Fabric {
		if err := name(AnchorFabric, i, r.Fabric[i].Name, fabric.CheckChannel(&r.Fabric[i])); err != nil {
			return err
		}
	}
	for i := range r.Timestamps {
		if err := name(AnchorRFC3161, i, r.Timestamps[i].Name, timestamp.CheckAuthority(&r.Timestamps[i])); err != nil {
			return err
		}
	}
	for i, w := range r.Witnesses {
		err := checkWitness(w.Witness)
		if err := name(AnchorWitness, i, w.Name, err); err != nil {
			return err
		}
	}
	return nil
}

func checkWitness(w checkpoint.Witness) error {
	if w.Key.IsZero() {
		return fmt.Errorf("%w: it has no key", checkpoint.ErrMalformed)
	}
	_, err := checkpoint.ParseWitness(w.String())
	return err
}

// Marshal returns the file as it is written, spread over lines. It is read again
// before it is returned.
func (r *AnchorRoots) Marshal() ([]byte, error) {
	w := &canon.Writer{}
	w.Object().Key("chain").String(r.Chain).Key("fabric").Array()
	for i := range r.Fabric {
		writeChannel(w, &r.Fabric[i])
	}
	w.EndArray().Key("rfc3161").Array()
	for _, a := range r.Timestamps {
		w.Object().Key("name").String(a.Name).Key("roots")
		writeCertificates(w, a.Roots)
		w.EndObject()
	}
	w.EndArray().Key("type").String(anchorRootsType).Key("v").Int(fileVersion).Key("witness").Array()
	for _, n := range r.Witnesses {
		w.Object().Key("key").String(n.Witness.String()).Key("name").String(n.Name).EndObject()
	}
	w.EndArray().EndObject()
	if _, err := parseAnchorRoots(w.Bytes()); err != nil {
		return nil, err
	}
	out := canon.Indent(w.Bytes(), anchorRootsDepth)
	if len(out) > MaxAnchorRootsBytes {
		return nil, fmt.Errorf("anchor roots: have %d bytes, more than %d", len(out), MaxAnchorRootsBytes)
	}
	return out, nil
}

func writeChannel(w *canon.Writer, c *fabric.Channel) {
	w.Object().Key("chaincode").String(c.Chaincode).Key("channel").String(c.Channel).
		Key("endorsements").Int(uint64(c.Endorsements)).Key("name").String(c.Name)
	w.Key("orderers").Object().Key("consenters").Array()
	for _, k := range c.Orderers.Consenters {
		w.Object().Key("certificate").String(base64.StdEncoding.EncodeToString(k.Certificate)).Key("id").Int(k.ID).
			Key("msp").String(k.MSP).EndObject()
	}
	w.EndArray().Key("organisations")
	writeOrganisations(w, c.Orderers.Organisations)
	w.Key("signatures").Int(uint64(c.Orderers.Signatures)).EndObject()
	w.Key("organisations")
	writeOrganisations(w, c.Organisations)
	w.EndObject()
}

func writeOrganisations(w *canon.Writer, list []fabric.Organisation) {
	w.Array()
	for _, o := range list {
		w.Object().Key("intermediates")
		writeCertificates(w, o.Intermediates)
		w.Key("msp").String(o.MSP).Key("node_ous").Bool(o.NodeOUs)
		if len(o.Revoked) > 0 {
			w.Key("revoked").Array()
			for _, s := range o.Revoked {
				w.String(hex.EncodeToString(s))
			}
			w.EndArray()
		}
		w.Key("roots")
		writeCertificates(w, o.Roots)
		w.EndObject()
	}
	w.EndArray()
}

func writeCertificates(w *canon.Writer, list [][]byte) {
	w.Array()
	for _, c := range list {
		w.String(base64.StdEncoding.EncodeToString(c))
	}
	w.EndArray()
}
