package node

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"qifeng/evidence"
)

// submitFlags are those of submit that say what is preserved, and how far it is
// waited for.
func submitFlags(cmd *cobra.Command, o *submitOptions) {
	f := cmd.Flags()
	f.StringVar(&o.kind, "kind", string(evidence.ContractFinal), "种类 · kind: "+joined(evidence.Kinds))
	f.StringVar(&o.dossier, "dossier", "", "卷宗：new 或 32 位十六进制 · dossier: new, or 32 hex digits")
	f.Uint64Var(&o.step, "step", 0, "卷宗内步骤号；多个文件依次递增 · step within the dossier; rises over several files")
	f.StringVar(&o.prev, "prev", "", "上一条提交：编号或其 .qifeng.json · the submission before: its ID or .qifeng.json")
	f.StringArrayVar(&o.refs, "ref", nil, "相关提交：编号或其 .qifeng.json，可重复 · related submission, as --prev; may repeat")
	f.StringVar(&o.method, "method", "", "核验或确认方式 · method: "+strings.Join(slices.Concat(evidence.PersonMethods, evidence.CompanyMethods, evidence.IntentMethods), " "))
	f.StringVar(&o.result, "result", "", "结果 · result: "+strings.Join(evidence.Results, " "))
	f.StringVar(&o.algorithm, "algorithm", "", "证书算法 · algorithm of the certificate: "+strings.Join(evidence.Algorithms, " "))
	f.StringVar(&o.certificate, "certificate", "", "证书文件（DER 或 PEM），只取摘要 · certificate file, only its digests are sent")
	f.StringVar(&o.signature, "signature", "", "签名值文件，只取摘要 · signature file, only its digests are sent")
	f.StringVar(&o.captured, "captured-at", "", "采集时间 RFC 3339，默认现在 · when it was captured, default now")
	f.StringVar(&o.source.System, "source-system", "vendor_platform", "来源系统 · "+strings.Join(evidence.SourceSystems, " "))
	f.StringVar(&o.source.Mechanism, "mechanism", "manual", "生成方式 · "+strings.Join(evidence.SourceMechanisms, " "))
	f.StringVar(&o.source.Environment, "environment", "production", "环境 · "+strings.Join(evidence.SourceEnvironments, " "))
	choices(cmd, "kind", evidence.Kinds...)
	choices(cmd, "method", slices.Concat(evidence.PersonMethods, evidence.CompanyMethods, evidence.IntentMethods)...)
	choices(cmd, "result", evidence.Results...)
	choices(cmd, "algorithm", evidence.Algorithms...)
	choices(cmd, "source-system", evidence.SourceSystems...)
	choices(cmd, "mechanism", evidence.SourceMechanisms...)
	choices(cmd, "environment", evidence.SourceEnvironments...)
	f.BoolVar(&o.wait, "wait", false, "等到已会签并写入证明 · wait until sealed and write the proof")
	f.BoolVar(&o.anchored, "anchored", false, "等到已锚定，含 --wait · wait until anchored, --wait included")
	f.BoolVar(&o.force, "force", false, "替换已有的 FILE.qifeng.json · replace an existing FILE.qifeng.json")
	f.StringVar(&o.policy, "policy", "", "信任策略，默认 <home>/policy.txt · trust policy, default that of the home")
}

func joined(kinds []evidence.Kind) string {
	var b strings.Builder
	for i, k := range kinds {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(string(k))
	}
	return b.String()
}
