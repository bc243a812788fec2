/* Where a running worker's call frames are, for a process that reads its memory. */
#include "sapi.h"

void fpmd_php_trace_layout(fpmd_trace_layout *layout)
{
    *layout = (fpmd_trace_layout){
        .current_frame = (uint64_t)(uintptr_t)&EG(current_execute_data),
        .frame_function = offsetof(zend_execute_data, func),
        .frame_previous = offsetof(zend_execute_data, prev_execute_data),
        .frame_opline = offsetof(zend_execute_data, opline),
        .function_type = offsetof(zend_function, type),
        .function_name = offsetof(zend_function, common.function_name),
        .function_file = offsetof(zend_function, op_array.filename),
        .opline_line = offsetof(zend_op, lineno),
        .text_length = offsetof(zend_string, len),
        .text_start = offsetof(zend_string, val),
    };
}
