package fabric

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"github.com/hyperledger/fabric-protos-go-apiv2/orderer"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer/lifecycle"
	"google.golang.org/protobuf/proto"

	"qifeng/proof"
	"qifeng/proof/fabric"
)

// Roots reads a channel's configuration and the chaincode's definition from one
// peer, and makes of them what a verifier pins. Nobody has signed it for us: an
// operator compares the fingerprint of the result with other members' before it is
// used. The notes say in plain words what the pinned form leaves out.
func Roots(ctx context.Context, n Network, name, channel, chaincode string) (*fabric.Channel, []proof.Words, error) {
	b, err := n.Evaluate(ctx, "cscc", []byte("GetConfigBlock"), []byte(channel))
	if err != nil {
		return nil, nil, fmt.Errorf("reading the configuration of channel %s: %w", channel, err)
	}
	config, err := configOf(b)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the configuration of channel %s: %w", channel, err)
	}
	parameter, err := endorsementPolicy(ctx, n, channel, chaincode)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the definition of chaincode %s: %w", chaincode, err)
	}
	return distil(config, parameter, name, channel, chaincode)
}

// endorsementPolicy reads a chaincode's policy (peer.ApplicationPolicy) from its
// definition: that of Fabric 2 and later, or where there is none that of Fabric 1.
func endorsementPolicy(ctx context.Context, n Network, channel, chaincode string) ([]byte, error) {
	arg, err := proto.Marshal(&lifecycle.QueryChaincodeDefinitionArgs{Name: chaincode})
	if err != nil {
		return nil, err
	}
	b, err := n.Evaluate(ctx, "_lifecycle", []byte("QueryChaincodeDefinition"), arg)
	if err == nil {
		var def lifecycle.QueryChaincodeDefinitionResult
		err = proto.Unmarshal(b, &def)
		return def.ValidationParameter, err
	}
	b, old := n.Evaluate(ctx, "lscc", []byte("getccdata"), []byte(channel), []byte(chaincode))
	if old != nil {
		return nil, err
	}
	var data peer.ChaincodeData
	if err := proto.Unmarshal(b, &data); err != nil {
		return nil, err
	}
	return proto.Marshal(&peer.ApplicationPolicy{Type: &peer.ApplicationPolicy_SignaturePolicy{SignaturePolicy: data.Policy}})
}

// configOf takes the channel's groups out of a configuration block.
func configOf(block []byte) (*common.ConfigGroup, error) {
	var b common.Block
	var env common.Envelope
	var payload common.Payload
	var config common.ConfigEnvelope
	if err := proto.Unmarshal(block, &b); err != nil {
		return nil, err
	}
	if len(b.GetData().GetData()) != 1 {
		return nil, errors.New("not a configuration block")
	}
	if err := proto.Unmarshal(b.Data.Data[0], &env); err != nil {
		return nil, err
	}
	if err := proto.Unmarshal(env.Payload, &payload); err != nil {
		return nil, err
	}
	if err := proto.Unmarshal(payload.Data, &config); err != nil {
		return nil, err
	}
	if config.GetConfig().GetChannelGroup() == nil {
		return nil, errors.New("not a configuration block")
	}
	return config.Config.ChannelGroup, nil
}

// distiller collects what is pinned, and notes on what is not.
type distiller struct {
	channel *fabric.Channel
	notes   []proof.Words
}

// note adds a note; both formats take the same arguments.
func (d *distiller) note(zh, en string, args ...any) {
	d.notes = append(d.notes, proof.Words{ZH: fmt.Sprintf(zh, args...), EN: fmt.Sprintf(en, args...)})
}

// distil makes a pinned channel of a configuration and of the chaincode's
// endorsement policy as the definition holds it.
func distil(config *common.ConfigGroup, parameter []byte, name, channel, chaincode string) (*fabric.Channel, []proof.Words, error) {
	d := &distiller{channel: &fabric.Channel{Name: name, Channel: channel, Chaincode: chaincode}}
	application, orderers := config.Groups["Application"], config.Groups["Orderer"]
	if application == nil || orderers == nil {
		return nil, nil, fmt.Errorf("the configuration of channel %s has no application or no orderers", channel)
	}
	var err error
	if d.channel.Organisations, err = d.organisations(application, "peer"); err != nil {
		return nil, nil, err
	}
	if d.channel.Endorsements, err = d.endorsements(application, parameter); err != nil {
		return nil, nil, fmt.Errorf("the endorsement policy of chaincode %s: %w", chaincode, err)
	}
	if d.channel.Endorsements == 1 && len(d.channel.Organisations) > 1 {
		d.note("一个组织背书即满足策略：回执只证明该组织的陈述",
			"the endorsement policy is met by one organisation alone: a receipt proves that organisation's word")
	}
	if err := d.orderers(orderers); err != nil {
		return nil, nil, fmt.Errorf("the orderers: %w", err)
	}
	return d.channel, d.notes, fabric.CheckChannel(d.channel)
}

// organisations reads the MSPs of a group, sorted. role is what its members sign as.
func (d *distiller) organisations(group *common.ConfigGroup, role string) ([]fabric.Organisation, error) {
	var out []fabric.Organisation
	for _, key := range slices.Sorted(maps.Keys(group.Groups)) {
		var conf msp.MSPConfig
		if err := proto.Unmarshal(group.Groups[key].GetValues()["MSP"].GetValue(), &conf); err != nil {
			return nil, fmt.Errorf("organisation %s: %w", key, err)
		}
		if conf.Type != 0 {
			d.note("组织 %s 以 Idemix 签名，不予固定：其背书不计",
				"organisation %s signs with Idemix and is not pinned: its endorsements count for nothing", key)
			continue
		}
		var m msp.FabricMSPConfig
		if err := proto.Unmarshal(conf.Config, &m); err != nil {
			return nil, fmt.Errorf("organisation %s: %w", key, err)
		}
		o, err := d.organisation(&m, role)
		if err != nil {
			return nil, fmt.Errorf("organisation %s: %w", m.Name, err)
		}
		out = append(out, *o)
	}
	slices.SortFunc(out, func(a, b fabric.Organisation) int { return bytes.Compare([]byte(a.MSP), []byte(b.MSP)) })
	return out, nil
}

func (d *distiller) organisation(m *msp.FabricMSPConfig, role string) (*fabric.Organisation, error) {
	o := &fabric.Organisation{MSP: m.Name}
	var err error
	if o.Roots, err = derOf(m.RootCerts); err != nil {
		return nil, err
	}
	if o.Intermediates, err = derOf(m.IntermediateCerts); err != nil {
		return nil, err
	}
	if h := m.GetCryptoConfig().GetSignatureHashFamily(); h != "" && h != "SHA2" {
		return nil, fmt.Errorf("it signs over %s; receipts are verified over SHA-256 only", h)
	}
	if o.Revoked, err = revoked(m.RevocationList, slices.Concat(o.Roots, o.Intermediates)); err != nil {
		return nil, err
	}
	if n := len(o.Revoked); n > 0 {
		d.note("%s 吊销了 %d 张证书：凭其中任何一张签名的回执不予通过，无论何时签名",
			"%s has revoked %d certificates: no receipt verifies by any of them, whenever it was signed", m.Name, n)
	}
	if len(m.OrganizationalUnitIdentifiers) > 0 {
		d.note("%s 只接纳某些组织单元：固定的形式接受其各 CA 的每张证书",
			"%s admits only some organisational units: the pinned form takes every certificate of its CAs", m.Name)
	}
	ous := m.GetFabricNodeOus()
	if !ous.GetEnable() {
		d.note("%s 的证书不分角色：其任何证书都算作 %s 的", "%s gives its certificates no roles: any of its certificates counts as a %s's", m.Name, role)
		return o, nil
	}
	id := ous.GetPeerOuIdentifier()
	if role == "orderer" {
		id = ous.GetOrdererOuIdentifier()
	}
	switch {
	case id == nil:
		d.note("%s 未给 %s 设角色：其任何证书都算作此角色",
			"%s gives no role to its %ss: any of its certificates counts as one's", m.Name, role)
		return o, nil
	case id.OrganizationalUnitIdentifier != role:
		return nil, fmt.Errorf("it calls the role of a %s %q; only Fabric's usual names can be pinned", role, id.OrganizationalUnitIdentifier)
	case len(id.Certificate) > 0 && len(m.RootCerts)+len(m.IntermediateCerts) > 1:
		d.note("%s 把 %s 角色限于其一个 CA：固定的形式接受其每个 CA 的",
			"%s ties the role of a %s to one of its CAs: the pinned form takes it from each of them", m.Name, role)
	}
	o.NodeOUs = true
	return o, nil
}

// revoked takes the serial numbers out of an organisation's revocation lists, each
// of which one of its CAs signed.
func revoked(lists, cas [][]byte) ([][]byte, error) {
	var out [][]byte
	for _, text := range lists {
		if block, _ := pem.Decode(text); block != nil {
			text = block.Bytes
		}
		list, err := x509.ParseRevocationList(text)
		if err != nil {
			return nil, fmt.Errorf("a revocation list that cannot be read: %w", err)
		}
		if !slices.ContainsFunc(cas, func(der []byte) bool {
			ca, err := x509.ParseCertificate(der)
			return err == nil && list.CheckSignatureFrom(ca) == nil
		}) {
			return nil, fmt.Errorf("a revocation list by %q, signed by none of its CAs: take it out of the channel's configuration, or put the CA in", list.Issuer)
		}
		for _, e := range list.RevokedCertificateEntries {
			out = append(out, e.SerialNumber.Bytes())
		}
	}
	slices.SortFunc(out, fabric.CompareSerials)
	return slices.CompactFunc(out, bytes.Equal), nil
}

// derOf takes certificates, one in each PEM text.
func derOf(pems [][]byte) ([][]byte, error) {
	var out [][]byte
	for _, text := range pems {
		block, _ := pem.Decode(text)
		if block == nil {
			return nil, errors.New("a certificate that is not PEM")
		}
		out = append(out, block.Bytes)
	}
	return out, nil
}

func (d *distiller) orderers(group *common.ConfigGroup) error {
	o := &d.channel.Orderers
	var err error
	if o.Organisations, err = d.organisations(group, "orderer"); err != nil {
		return err
	}
	var kind orderer.ConsensusType
	if err := proto.Unmarshal(group.Values["ConsensusType"].GetValue(), &kind); err != nil {
		return err
	}
	switch kind.Type {
	case "BFT":
	case "etcdraft", "kafka", "solo":
		o.Signatures = 1
		d.note("排序节点运行 %s：其中一个即可独自出块，回执只带它的签名",
			"the orderers run %s: one of them alone makes a block, and a receipt carries its signature only", kind.Type)
		return nil
	default:
		return fmt.Errorf("they agree by %q, which is not known", kind.Type)
	}
	var list common.Orderers
	if err := proto.Unmarshal(group.Values["Orderers"].GetValue(), &list); err != nil {
		return err
	}
	for _, c := range list.ConsenterMapping {
		der, err := derOf([][]byte{c.Identity})
		if err != nil {
			return fmt.Errorf("consenter %d: %w", c.Id, err)
		}
		o.Consenters = append(o.Consenters, fabric.Consenter{ID: uint64(c.Id), MSP: c.MspId, Certificate: der[0]})
	}
	slices.SortFunc(o.Consenters, func(a, b fabric.Consenter) int { return int(int64(a.ID) - int64(b.ID)) })
	o.Signatures = fabric.Quorum(len(o.Consenters))
	return nil
}

// endorsements is how many different organisations the chaincode's policy needs
// at least.
func (d *distiller) endorsements(application *common.ConfigGroup, parameter []byte) (int, error) {
	var p peer.ApplicationPolicy
	if err := proto.Unmarshal(parameter, &p); err != nil {
		return 0, err
	}
	if rule := p.GetSignaturePolicy(); rule != nil {
		return d.fewest(rule)
	}
	return d.reference(application, p.GetChannelConfigPolicyReference())
}
