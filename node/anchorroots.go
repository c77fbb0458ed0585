package node

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"slices"
	"strings"

	"qifeng/proof"
	"qifeng/proof/checkpoint"
	"qifeng/proof/fabric"
	"qifeng/proof/timestamp"
)

// makeRoots makes the anchor roots of a configuration, and prints for each anchor
// what will be trusted. The names are sorted, as the file wants them.
func (a *app) makeRoots(ctx context.Context, cfg *Config, chainID string) (*proof.AnchorRoots, error) {
	r := &proof.AnchorRoots{Chain: chainID}
	for _, name := range cfg.anchorNames() {
		c := cfg.Anchor[name]
		if err := a.addRoot(ctx, r, name, &c); err != nil {
			return nil, fmt.Errorf("[anchor.%s] %w", name, a.anchorHint(err))
		}
	}
	return r, nil
}

func (a *app) addRoot(ctx context.Context, r *proof.AnchorRoots, name string, c *AnchorConfig) error {
	switch proof.AnchorKind(c.Kind) {
	case proof.AnchorRFC3161:
		certs, err := pemCertificates(a.home.path(c.Roots))
		if err != nil {
			return fmt.Errorf("roots: %w", err)
		}
		authority := timestamp.Authority{Name: name, Roots: certs}
		if err := timestamp.CheckAuthority(&authority); err != nil {
			return fmt.Errorf("roots: %s: %w", c.Roots, err)
		}
		r.Timestamps = append(r.Timestamps, authority)
		fmt.Fprintf(a.out, "%s  rfc3161  %s\n", name, c.URL)
		printCertificates(a.out, certs)
	case proof.AnchorWitness:
		w, err := checkpoint.ParseWitness(c.Key)
		if err != nil {
			return fmt.Errorf("key: %w", err)
		}
		r.Witnesses = append(r.Witnesses, proof.NamedWitness{Name: name, Witness: w})
		fmt.Fprintf(a.out, "%s  witness  %s\n", name, w)
		policy, err := loadPolicy(a.home.path(policyName))
		if err != nil {
			return err
		}
		a.say("  请见证人登记本日志的密钥（仅中立成员）：", "  to be registered by the witness, the keys of this log (of neutral members):")
		for _, key := range policy.WitnessLogKeys(&policy.Epochs[len(policy.Epochs)-1]) {
			fmt.Fprintf(a.out, "    %s\n", key)
		}
	case proof.AnchorFabric:
		pinned, notes, err := fabricPin(ctx, a.home, name, c, slog.New(slog.DiscardHandler))
		if err != nil {
			return err
		}
		r.Fabric = append(r.Fabric, *pinned)
		a.printChannel(name, pinned, notes)
	}
	return nil
}

// keepRoots takes over what the file of before knows of anchors that are not
// configured any more.
func (a *app) keepRoots(r *proof.AnchorRoots, path string, cfg *Config) error {
	if !exists(path) {
		return nil
	}
	old, err := readRoots(path)
	if err != nil {
		return err
	}
	if old.Roots.Chain != r.Chain {
		return usagef("%s is of chain %s, this home of %s: move it away", path, old.Roots.Chain, r.Chain)
	}
	for _, name := range lostRoots(r, old.Roots) {
		a.say("  注意：%s 原先固定的内容被替换，依其签发的回执将不再通过验证；法院须保留原文件。若见证更换了根、密钥或组织，请为其另起名称（时间戳机构换根：把新根追加到 roots，勿删旧根）",
			"  NOTE: what was pinned for %s is replaced: receipts under it will not verify any more, and courts must keep the file of before. Where the witness has new roots, keys or organisations give it a new name (an authority's new root: add it to the file roots, and leave the old one there)", name)
	}
	gone := func(name string) bool {
		_, configured := cfg.Anchor[name]
		if !configured {
			a.say("%s  已停用，予以保留", "%s  not configured any more, kept", name)
		}
		return !configured
	}
	r.Timestamps = kept(r.Timestamps, old.Roots.Timestamps, func(t timestamp.Authority) string { return t.Name }, gone)
	r.Witnesses = kept(r.Witnesses, old.Roots.Witnesses, func(w proof.NamedWitness) string { return w.Name }, gone)
	r.Fabric = kept(r.Fabric, old.Roots.Fabric, func(c fabric.Channel) string { return c.Name }, gone)
	return nil
}

// lostRoots names the anchors of which the file of before pins what the new one
// does not.
func lostRoots(now, old *proof.AnchorRoots) (names []string) {
	for _, o := range old.Timestamps {
		for _, n := range now.Timestamps {
			has := func(der []byte) bool {
				return slices.ContainsFunc(n.Roots, func(r []byte) bool { return bytes.Equal(r, der) })
			}
			if n.Name == o.Name && slices.ContainsFunc(o.Roots, func(der []byte) bool { return !has(der) }) {
				names = append(names, o.Name)
			}
		}
	}
	for _, o := range old.Witnesses {
		if slices.ContainsFunc(now.Witnesses, func(n proof.NamedWitness) bool { return n.Name == o.Name && n != o }) {
			names = append(names, o.Name)
		}
	}
	for _, o := range old.Fabric {
		if slices.ContainsFunc(now.Fabric, func(n fabric.Channel) bool { return n.Name == o.Name && !reflect.DeepEqual(n, o) }) {
			names = append(names, o.Name)
		}
	}
	return names
}

// kept adds to a list what of an older one is gone from the configuration, in the
// order of the names.
func kept[T any](now, old []T, name func(T) string, gone func(string) bool) []T {
	for _, x := range old {
		if gone(name(x)) {
			now = append(now, x)
		}
	}
	slices.SortFunc(now, func(x, y T) int { return strings.Compare(name(x), name(y)) })
	return now
}

// printChannel says what is pinned of a channel: the network's own word.
func (a *app) printChannel(name string, c *fabric.Channel, notes []proof.Words) {
	fmt.Fprintf(a.out, "%s  fabric   %s / %s\n", name, c.Channel, c.Chaincode)
	a.say("  需 %d 个组织背书：%s", "  %d organisations must endorse: %s", c.Endorsements, mspNames(c.Organisations))
	for _, o := range c.Organisations {
		printCertificates(a.out, o.Roots)
	}
	a.say("  排序节点：%s，需 %d 个签名，BFT 共识节点 %d 个", "  orderers: %s, %d signatures needed, %d BFT consenters", mspNames(c.Orderers.Organisations), c.Orderers.Signatures, len(c.Orderers.Consenters))
	for _, n := range notes {
		fmt.Fprintln(a.out, a.lang.T("  注意："+n.ZH, "  NOTE: "+n.EN))
	}
	a.say("  以上读自网络，未经签名：请与其他成员核对", "  this was read from the network and nobody has signed it: compare it with the other members")
}

func mspNames(orgs []fabric.Organisation) string {
	names := make([]string, len(orgs))
	for i, o := range orgs {
		names[i] = o.MSP
	}
	return strings.Join(names, ", ")
}

// printCertificates names certificates by the SHA-256 of their bytes, as browsers
// and openssl do.
func printCertificates(w io.Writer, certs [][]byte) {
	for _, der := range certs {
		fmt.Fprintf(w, "  SHA-256 %x\n", sha256.Sum256(der))
	}
}
