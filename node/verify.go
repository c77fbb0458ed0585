package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"qifeng/evidence"
	"qifeng/proof"
	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

func (a *app) verifyCmd() *cobra.Command {
	var v verification
	cmd := &cobra.Command{
		Use:   "verify FILE",
		Short: "离线验证：不联网 · Verify offline: no network",
		Long: `用法院自己持有的信任策略，离线验证原文与证明文件。不访问网络；逐步列出每一项及其结果，最后给出结论。
FILE 是原文；若 FILE 本身是 .qifeng.json，则只验证记录，不比对原文；若 FILE 是欺诈证明（节点存于
data/fraud/），则验证某成员是否自相矛盾。--anchor-roots 给出法院自己持有的锚定信任根，逐个验证证明中的锚定，并给出
“不晚于”的时间与其来源；不给则锚定不检验。请核对所印的指纹。
退出码：0 已证明；1 原文或证明不真实；2 用法或输入不可读；3 一致但未证明（给定策略的会签门槛未达成）。
Verifies a content and its proof file against a trust policy that the court itself holds. Opens
no network connection; names every step with its outcome and ends with the verdict. FILE is the
content; if FILE is a .qifeng.json itself, the record alone is verified and no content compared;
if FILE is a fraud proof (nodes keep them in data/fraud/), whether a member contradicted itself.
With --anchor-roots, which the court holds too, each anchor is verified, and the time by which
the record existed is given with its source; without, no anchor is checked. Compare the
fingerprint that is printed.
Exit codes: 0 proved; 1 the content or the proof is false; 2 usage or unreadable input; 3
consistent but not proved (the quorum of the given policy is not met).`,
		Example: example("qifeng verify contract.pdf --policy devnet/policy.txt",
			"qifeng verify contract.pdf --proof contract.pdf.qifeng.json --policy court-policy.txt --json",
			"qifeng verify contract.pdf --policy policy.txt --anchor-roots anchor-roots.json --anchors contract.pdf.anchors.json"),
		Args: cobra.ExactArgs(1),
		RunE: a.run(func(_ context.Context, args []string) error {
			return a.verify(args[0], v)
		}),
	}
	cmd.Flags().StringVar(&v.proof, "proof", "", "证明文件，默认 FILE.qifeng.json · proof file")
	cmd.Flags().StringVar(&v.policy, "policy", "", "信任策略文件（必须）· trust policy file (required)")
	cmd.Flags().StringVar(&v.roots, "anchor-roots", "", "锚定信任根文件；不给则不检验锚定 · file of anchor roots; without it no anchor is checked")
	cmd.Flags().StringVar(&v.anchors, "anchors", "", "锚定附件 · companion file with more anchors")
	a.jsonFlag(cmd)
	if err := cmd.MarkFlagRequired("policy"); err != nil {
		panic(err) // a misspelt flag name above
	}
	return cmd
}

// verification are the files that verify is given besides the content.
type verification struct{ proof, policy, roots, anchors string }

// verify judges a content and its proof. Whatever cannot be read is exit code
// 2; only what was read and is false is 1.
func (a *app) verify(path string, v verification) error {
	policyText, err := readSmall(v.policy, checkpoint.MaxPolicy)
	if err != nil {
		return usagef("--policy: %w", err)
	}
	policy, err := checkpoint.ParsePolicy(policyText)
	if err != nil {
		return usagef("--policy %s: %w", v.policy, err)
	}
	opt := proof.Options{Second: true, PolicyDigest: merkle.Sum(policyText)}
	if v.roots != "" {
		r, err := readRoots(v.roots)
		if err != nil {
			return usagef("--anchor-roots: %w", err)
		}
		opt.Roots, opt.RootsDigest = r.Roots, r.digest
	}
	if raw, ok := fraudItself(path, v.proof); ok {
		f, err := proof.ParseFraud(raw)
		if err != nil {
			return usagef("%s: %w", path, err)
		}
		return a.printReport(proof.VerifyFraud(f, policy, opt))
	}
	file, content, err := a.proofAndContent(path, v.proof)
	if err != nil {
		return err
	}
	if v.anchors != "" {
		if opt.Anchors, err = readAnchors(v.anchors, file); err != nil {
			return err
		}
	}
	return a.printReport(proof.Verify(file, policy, content, opt))
}

// judgement is what a verification ends in.
type judgement interface {
	Text(proof.Lang) string
	JSON() []byte
	ExitCode() int
}

func (a *app) printReport(r judgement) (err error) {
	if a.json {
		_, err = fmt.Fprintf(a.out, "%s\n", r.JSON())
	} else {
		_, err = fmt.Fprint(a.out, r.Text(proof.Lang(a.lang)))
	}
	if err != nil {
		return err
	}
	return quietExit(r.ExitCode())
}

// proofAndContent reads both, the proof first: it says what the content is.
func (a *app) proofAndContent(path, proofPath string) (*proof.File, *proof.Content, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, nil, &codeError{code: exitUsage, err: err}
	}
	own := proofPath == ""
	if own {
		proofPath = path + proofSuffix
		if f, ok := proofItself(path); ok && !exists(proofPath) {
			return f, nil, nil
		}
	}
	file, err := readProof(proofPath)
	if err != nil {
		if own && errors.Is(err, fs.ErrNotExist) {
			return nil, nil, usagef("no proof file %s: name it with --proof", proofPath)
		}
		return nil, nil, err
	}
	h, err := a.hashFile(path, true)
	if err != nil {
		return nil, nil, &codeError{code: exitUsage, err: err}
	}
	content := &proof.Content{Digest: h.digest, SecondSM3: h.second, Size: h.size}
	if file.RecordOf().Submission.Claims != nil {
		// What is no claims file stays nil: that is a false content, and the
		// report says so.
		if b, err := readSmall(path, evidence.MaxClaimsBytes); err == nil {
			if claims, err := evidence.ParseClaims(b); err == nil {
				content.Claims = claims
			}
		}
	}
	return file, content, nil
}

// fraudItself returns the file named if it is a fraud proof and not a content:
// one that has a proof of its own is what somebody preserved.
func fraudItself(path, proofPath string) ([]byte, bool) {
	if proofPath != "" || exists(path+proofSuffix) {
		return nil, false
	}
	b, err := readSmall(path, proof.MaxFileBytes)
	return b, err == nil && proof.IsFraud(b)
}

// proofItself reports whether the file named is a proof file and no content.
func proofItself(path string) (*proof.File, bool) {
	b, err := readSmall(path, proof.MaxFileBytes)
	if err != nil {
		return nil, false
	}
	f, err := proof.Parse(b)
	return f, err == nil
}
