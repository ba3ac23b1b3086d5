// SPDX-License-Identifier: Apache-2.0

package isolation

/*
The uts namespace (the host name).

Fields:
  spec.hostNetwork   true claims Host: the container runtimes give a pod on the node's network
                     the node's UTS namespace too; false and unset claim Pod

So a policy that demands both axes gives two reasons for one field.
*/

var utsCheck = axisCheck{claim: claimNetwork, causes: causesHostNetwork}
