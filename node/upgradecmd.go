package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"qifeng/api/client"
	"qifeng/proof"
	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

// anchorsSuffix is the companion file of a proof.
const anchorsSuffix = ".anchors.json"

func (a *app) proofUpgradeCmd() *cobra.Command {
	u := upgrade{}
	cmd := &cobra.Command{
		Use:   "upgrade FILE.qifeng.json",
		Short: "为旧证明补上锚定 · Add anchors to an old proof",
		Long: `取得覆盖该证明检查点的锚定（向节点，或从 --from 附件），补入证明文件；原有内容一字不改，先后各验证一次，
原子地替换（或写入 --out）。锚定在 --anchor-roots 下验证，默认用成员目录的 anchor-roots.json；没有时使用节点自称的，
并予警告。容纳不下的写入 FILE.anchors.json，可用 qifeng verify --anchors 一并验证。
Gets the anchors over the proof's checkpoint, from a node or from a companion file (--from), and
adds them; what was there stays, byte for byte. The proof is verified before and after, and
replaced atomically (or written to --out). Anchors are verified under --anchor-roots, by default
those of the home, else with a warning those that the node states. What there is no room for goes
into FILE.anchors.json, which qifeng verify --anchors takes beside the proof.`,
		Example: example("qifeng proof upgrade contract.pdf.qifeng.json --home devnet/vendor-a",
			"qifeng proof upgrade contract.pdf.qifeng.json --from contract.anchors.json --policy policy.txt --anchor-roots anchor-roots.json --out new.qifeng.json"),
		Args: cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			ctx, cancel := context.WithTimeout(ctx, a.timeout)
			defer cancel()
			u.a, u.path = a, args[0]
			return u.do(ctx)
		}),
	}
	a.homeFlag(cmd)
	a.apiFlag(cmd)
	a.outFlag(cmd, "写入此文件，默认替换 FILE · write to this file, default FILE itself")
	cmd.Flags().StringVar(&u.from, "from", "", "附件文件，不联网 · companion file; opens no connection")
	cmd.Flags().StringVar(&u.policyPath, "policy", "", "信任策略，默认 <home>/policy.txt · trust policy, default that of the home")
	cmd.Flags().StringVar(&u.rootsPath, "anchor-roots", "", "锚定信任根，默认按成员目录的配置 · anchor roots, default those of the home")
	cmd.MarkFlagsMutuallyExclusive("from", "api")
	return cmd
}

// upgrade is one call of proof upgrade.
type upgrade struct {
	a                     *app
	path, from            string
	policyPath, rootsPath string
	client                *client.Client // nil with --from
	policy                *checkpoint.Policy
	roots                 *givenRoots
	file                  *proof.File
	had                   int // anchors that it had
}

// do verifies, adds, verifies again, and writes. Only a proof that is proved with
// what was added replaces anything.
func (u *upgrade) do(ctx context.Context) error {
	a := u.a
	var err error
	if u.file, err = readProof(u.path); err != nil {
		return err
	}
	u.had = len(u.file.Anchors)
	if !u.file.Sealed() {
		a.note("尚无证明：先运行 qifeng proof get %s", "there is no proof yet: first run qifeng proof get %s", shellQuote(u.path))
		return quietExit(exitNotProved)
	}
	if err := u.trust(ctx); err != nil {
		return err
	}
	before := proof.Verify(u.file, u.policy, nil, proof.Options{Second: true, Roots: u.roots.Roots, RootsDigest: u.roots.digest})
	if before.Result != proof.Proved {
		a.note("补充之前即不成立，未改动任何文件：%s", "it does not verify as it is; no file was changed: %s", a.lang.T(before.Verdict().ZH, before.Verdict().EN))
		return quietExit(before.ExitCode())
	}
	more, err := u.more(ctx, before.LedgerSize)
	if err != nil {
		return err
	}
	left, err := u.file.AddAnchors(more)
	if err != nil {
		return err
	}
	after := proof.Verify(u.file, u.policy, nil, proof.Options{Second: true, Roots: u.roots.Roots, RootsDigest: u.roots.digest, Anchors: left})
	if after.Result != proof.Proved {
		a.note("得到的锚定不成立，未改动任何文件：", "the anchors that came do not verify; no file was changed:")
		a.printAnchors(after)
		return quietExit(after.ExitCode())
	}
	return u.write(after, left)
}

// trust finds the policy and the anchor roots, and the node where there is one.
func (u *upgrade) trust(ctx context.Context) (err error) {
	a := u.a
	if u.from == "" {
		if u.client, err = a.client(); err != nil {
			return err
		}
		if u.policy, err = a.trustPolicy(ctx, u.client, u.policyPath); err != nil {
			return err
		}
	} else {
		if u.policy, err = a.localPolicy(u.policyPath); err != nil {
			return err
		}
		if u.policy == nil {
			return usagef("--policy is needed: there is no policy in the home")
		}
	}
	if u.roots, err = a.localRoots(u.rootsPath); err != nil || u.roots != nil {
		return err
	}
	if u.client == nil {
		return usagef("--anchor-roots is needed: there are none in the home")
	}
	u.roots, err = a.nodeRoots(ctx, u.client)
	return err
}

// more gets the anchors that the file is to have.
func (u *upgrade) more(ctx context.Context, size uint64) ([]proof.Anchor, error) {
	if u.from != "" {
		return readAnchors(u.from, u.file)
	}
	f, err := u.client.Anchors(ctx, size)
	if client.HasCode(err, "not-found") {
		u.a.note("节点尚无覆盖该检查点的锚定，未改动任何文件", "no anchor of the node covers this checkpoint yet; no file was changed")
		return nil, quietExit(exitNotProved)
	}
	if err != nil {
		return nil, err
	}
	return f.For(u.file)
}

func (u *upgrade) write(r *proof.Report, left []proof.Anchor) error {
	a := u.a
	out := a.outPath
	if out == "" {
		out = u.path
	}
	added := len(u.file.Anchors) - u.had
	if added > 0 || out != u.path {
		text, err := u.file.Marshal()
		if err != nil {
			return err
		}
		if err := mayReplace(out, u.file, false); err != nil {
			return err
		}
		if err := replaceFile(out, text, 0o644); err != nil {
			return err
		}
	}
	if len(left) > 0 {
		companion := strings.TrimSuffix(out, proofSuffix) + anchorsSuffix
		slices.SortFunc(left, func(x, y proof.Anchor) int {
			return cmp.Or(cmp.Compare(x.Kind, y.Kind), cmp.Compare(x.Name, y.Name))
		})
		f := proof.AnchorFile{Chain: u.file.Chain, From: r.LedgerSize, Anchors: left}
		text, err := f.Marshal()
		if err != nil {
			return err
		}
		if err := replaceFile(companion, text, 0o644); err != nil {
			return err
		}
		a.say("证明文件容纳不下 %d 个，写入附件 %s（qifeng verify --anchors）", "no room for %d in the proof file, written to %s (qifeng verify --anchors)", len(left), companion)
	}
	a.say("补入 %d 个锚定，已验证：%s", "%d anchors added and verified: %s", added, out)
	a.printAnchors(r)
	return nil
}

// printAnchors prints a line for each anchor of a report.
func (a *app) printAnchors(r *proof.Report) {
	for i := range r.Anchors {
		x := &r.Anchors[i]
		fmt.Fprintf(a.out, "  %s  %s\n", x.ID(), a.lang.T(x.Detail.ZH, x.Detail.EN))
	}
}

// givenRoots are anchor roots with the digest of their file.
type givenRoots struct {
	Roots  *proof.AnchorRoots
	digest merkle.Digest
}

func parseRoots(text []byte) (*givenRoots, error) {
	r, err := proof.ParseAnchorRoots(text)
	if err != nil {
		return nil, err
	}
	return &givenRoots{r, merkle.Sum(text)}, nil
}

// readRoots reads a file of anchor roots.
func readRoots(path string) (*givenRoots, error) {
	text, err := readSmall(path, proof.MaxAnchorRootsBytes)
	if err != nil {
		return nil, &codeError{code: exitUsage, err: err}
	}
	r, err := parseRoots(text)
	if err != nil {
		return nil, usagef("%s: %w", path, err)
	}
	return r, nil
}

// localRoots are --anchor-roots or those of the home, nil where there are neither.
func (a *app) localRoots(path string) (*givenRoots, error) {
	if path != "" {
		return readRoots(path)
	}
	name := Default().Anchors.Roots
	if cfg, err := a.home.config(); err == nil && cfg.Anchors.Roots != "" {
		name = cfg.Anchors.Roots
	}
	r, err := readRoots(a.home.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return r, err
}

// nodeRoots takes the node's own word, and says so.
func (a *app) nodeRoots(ctx context.Context, c *client.Client) (*givenRoots, error) {
	text, err := c.AnchorRoots(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking the node for its anchor roots: %w", err)
	}
	r, err := parseRoots(text)
	if err != nil {
		return nil, fmt.Errorf("reading the node's anchor roots: %w", err)
	}
	a.note("警告：没有 --anchor-roots，使用节点 %s 自称的锚定信任根（SM3 %x）。这等于信任该节点；请另行取得并核对指纹。",
		"WARNING: no --anchor-roots: using those that node %s states (SM3 %x). That is to trust this node; get them another way and compare the fingerprint.",
		c.URL(), r.digest.SM3)
	return r, nil
}

// readAnchors reads a companion file for a proof.
func readAnchors(path string, f *proof.File) ([]proof.Anchor, error) {
	text, err := readSmall(path, proof.MaxAnchorFileBytes)
	if err != nil {
		return nil, &codeError{code: exitUsage, err: err}
	}
	af, err := proof.ParseAnchorFile(text)
	if err != nil {
		return nil, usagef("%s: %w", path, err)
	}
	more, err := af.For(f)
	if err != nil {
		return nil, usagef("%s: %w", path, err)
	}
	return more, nil
}
