package node

import (
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"qifeng/genesis"
	"qifeng/internal/gm"
	"qifeng/proof"
	"qifeng/proof/checkpoint"
	"qifeng/proof/fabric"
	"qifeng/proof/merkle"
	"qifeng/proof/timestamp"
)

// anchorFiles are what the running node reads for its anchors, besides keys.
type anchorFiles struct {
	roots *proof.AnchorRoots
	raw   []byte // of the roots, as they stand in the file
}

// fingerprint names the file of the roots.
func (f *anchorFiles) fingerprint() merkle.Digest { return merkle.Sum(f.raw) }

// loadAnchorFiles reads the anchor roots of a home and looks at every file that
// its anchors name; nil where it has no anchors, and no receipts of earlier ones that it
// could verify. What is wrong here is wrong on
// this disk, and is told at the start; a service that cannot be reached is not.
func loadAnchorFiles(h home, cfg *Config, chainID string) (*anchorFiles, error) {
	if len(cfg.Anchor) == 0 && (!exists(h.path(filepath.Join(cfg.Data.Dir, anchorsDir))) || !exists(h.path(cfg.Anchors.Roots))) {
		return nil, nil
	}
	for _, name := range cfg.anchorNames() {
		a := cfg.Anchor[name]
		plain, secret := a.files()
		for _, f := range plain {
			if err := readableFile(h.path(f.value)); err != nil {
				return nil, fmt.Errorf("[anchor.%s] %s: %w", name, f.name, err)
			}
		}
		for _, f := range secret {
			if err := ownFile(h.path(f.value)); err != nil {
				return nil, fmt.Errorf("[anchor.%s] %s: %w", name, f.name, err)
			}
		}
	}
	path := h.path(cfg.Anchors.Roots)
	raw, err := readSmall(path, proof.MaxAnchorRootsBytes)
	if err != nil {
		return nil, fmt.Errorf("[anchors] roots: %w (make it with qifeng anchor roots --home %s)", err, shellQuote(string(h)))
	}
	roots, err := proof.ParseAnchorRoots(raw)
	if err != nil {
		return nil, fmt.Errorf("[anchors] roots: %s: %w", path, err)
	}
	if chainID != "" && roots.Chain != chainID {
		return nil, fmt.Errorf("[anchors] roots: %s is of chain %s, this home of %s", path, roots.Chain, chainID)
	}
	for _, name := range cfg.anchorNames() {
		if a := cfg.Anchor[name]; !knownTo(roots, name, &a) {
			return nil, fmt.Errorf("[anchor.%s]: %s knows no %s of this name, or another one: make it anew with qifeng anchor roots --home %s --force",
				name, path, a.Kind, shellQuote(string(h)))
		}
	}
	return &anchorFiles{roots, raw}, nil
}

// knownTo says whether the roots know an anchor by its kind and name, and a
// witness by its very key.
func knownTo(r *proof.AnchorRoots, name string, a *AnchorConfig) bool {
	if a.Kind == string(proof.AnchorWitness) {
		w, err := checkpoint.ParseWitness(a.Key)
		return err == nil && slices.Contains(r.Witnesses, proof.NamedWitness{Name: name, Witness: w})
	}
	return rootsKnow(r, proof.AnchorKind(a.Kind), name)
}

// rootsKnow says whether the roots know a name as one of this kind.
func rootsKnow(r *proof.AnchorRoots, kind proof.AnchorKind, name string) bool {
	switch kind {
	case proof.AnchorRFC3161:
		return slices.ContainsFunc(r.Timestamps, func(t timestamp.Authority) bool { return t.Name == name })
	case proof.AnchorWitness:
		return slices.ContainsFunc(r.Witnesses, func(w proof.NamedWitness) bool { return w.Name == name })
	case proof.AnchorFabric:
		return slices.ContainsFunc(r.Fabric, func(c fabric.Channel) bool { return c.Name == name })
	}
	return false
}

// readableFile refuses what is no file that can be read.
func readableFile(path string) error {
	fi, err := os.Stat(path)
	if err != nil {
		return err
	}
	if fi.IsDir() {
		return fmt.Errorf("%s is a folder, not a file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return f.Close()
}

// ownFile is readableFile of a secret, which others must not read.
func ownFile(path string) error {
	fi, err := os.Stat(path)
	if err != nil {
		return err
	}
	if fi.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s has mode %04o, others may read it: chmod 600 %s", path, fi.Mode().Perm(), path)
	}
	return readableFile(path)
}

// witnessLine is the line before the PEM block of a witness key: the name on its
// cosignatures.
const witnessLine = "# qifeng witness "

// cosigner is the key with which this node cosigns foreign logs.
type cosigner struct {
	*gm.PrivateKey
	Name string
}

// witnessKey loads that key. One that serves the node in another way is refused:
// what it signs there could be taken for a cosignature here (C2SP tlog-witness).
func witnessKey(h home, cfg *Config, cons *genesis.Consortium) (*cosigner, error) {
	path := h.path(cfg.Witness.Key)
	key, err := gm.LoadPrivateKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("key: %w (it is in no backup: make a new one with qifeng key witness NAME, and have the logs register it)", err)
	}
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	text, err := readSmall(path, maxSmallFile)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	name, ok := strings.CutPrefix(first, witnessLine)
	if !ok || key.Public().Alg() != gm.Ed25519 {
		return nil, fmt.Errorf("key: %s is no witness key: make one with qifeng key witness", path)
	}
	if cons != nil {
		for _, card := range cons.Genesis.Cards {
			if slices.Contains([]gm.PublicKey{card.SealEd25519, card.Log, card.Consensus}, key.Public()) {
				return nil, fmt.Errorf("key: %s is a key of %s: a witness key serves nothing else", path, card.ID)
			}
		}
	}
	return &cosigner{key, name}, nil
}

// witnessState is where a witness key says what it has cosigned, beside the key.
// Like the guard it is never put back from a backup.
func witnessState(keyPath string) string { return strings.TrimSuffix(keyPath, ".pem") + ".state" }

// pemCertificates reads every certificate of a PEM file, DER.
func pemCertificates(path string) ([][]byte, error) {
	text, err := readSmall(path, maxSmallFile)
	if err != nil {
		return nil, err
	}
	var out [][]byte
	for rest := text; ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		if b.Type == "CERTIFICATE" {
			out = append(out, b.Bytes)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s holds no PEM certificate", path)
	}
	return out, nil
}
